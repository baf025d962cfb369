// What tls_contexts are made of: OpenSSL's, with certificates, keys and protocols.
#include <tutti/io/inside/tls_stream.hpp>

#include <fmt/format.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <array>
#include <cerrno>
#include <fstream>
#include <stdexcept>
#include <system_error>

namespace tutti::io {

namespace detail {
namespace {

using bio_ptr = std::unique_ptr<::BIO, freed_by<::BIO_free_all>>;
using certificate_ptr = std::unique_ptr<::X509, freed_by<::X509_free>>;
using key_ptr = std::unique_ptr<::EVP_PKEY, freed_by<::EVP_PKEY_free>>;

// PEM, and what to call it in errors.
struct pem {
  std::string text, from;
};

pem load(std::string_view file_or_text, const char* what) {
  if (file_or_text.find("-----BEGIN") != std::string_view::npos)
    return {std::string(file_or_text), std::string(what) + " (given as text)"};
  const std::string name(file_or_text);
  errno = 0;
  std::ifstream in(name, std::ios::binary);
  std::string text;
  for (std::array<char, 4096> room; in.read(room.data(), room.size()), in.gcount() != 0;)
    text.append(room.data(), static_cast<std::size_t>(in.gcount()));
  if (in.bad() || !in.eof())
    throw tls_error(fmt::format("{}: cannot read file \"{}\": {}; give the name of a PEM file, or its text", what, name,
                                errno == 0 ? "no reason is given" : std::generic_category().message(errno)));
  return {std::move(text), fmt::format("{} (file \"{}\")", what, name)};
}

[[noreturn]] void throw_bad(const pem& source, std::string_view wanted) {
  throw tls_error(fmt::format("{}: there is no {} in it that can be used: {}", source.from, wanted, openssl_words()));
}

bio_ptr open(const pem& source) {
  bio_ptr in(::BIO_new_mem_buf(source.text.data(), static_cast<int>(source.text.size())));
  if (in == nullptr) throw std::bad_alloc();
  return in;
}

// Nobody sits at a terminal to be asked for it.
int no_password(char*, int, int, void*) { return -1; }

std::vector<certificate_ptr> certificates(const pem& source) {
  std::vector<certificate_ptr> all;
  const bio_ptr in = open(source);
  ::ERR_clear_error();
  while (::X509* const one = ::PEM_read_bio_X509_AUX(in.get(), nullptr, &no_password, nullptr)) all.emplace_back(one);
  // It ends with "no more of them"; anything else is damage.
  const unsigned long last = ::ERR_peek_last_error();
  const bool is_end = ERR_GET_LIB(last) == ERR_LIB_PEM && ERR_GET_REASON(last) == PEM_R_NO_START_LINE;
  if (all.empty() || !is_end) throw_bad(source, "certificate");
  ::ERR_clear_error();
  return all;
}

void show_certificate(::SSL_CTX* to, std::string_view chain, std::string_view key) {
  const pem chain_pem = load(chain, "certificate");
  const std::vector<certificate_ptr> all = certificates(chain_pem);
  if (::SSL_CTX_use_certificate(to, all.front().get()) != 1) throw_bad(chain_pem, "certificate");
  for (std::size_t i = 1; i < all.size(); ++i) {
    if (SSL_CTX_add1_chain_cert(to, all[i].get()) != 1) throw_bad(chain_pem, "certificate");
  }
  const pem key_pem = load(key, "key");
  const bio_ptr in = open(key_pem);
  const key_ptr found(::PEM_read_bio_PrivateKey(in.get(), nullptr, &no_password, nullptr));
  if (found == nullptr)
    throw_bad(key_pem, key_pem.text.find("ENCRYPTED") != std::string::npos ? "key that is not encrypted" : "key");
  if (::SSL_CTX_use_PrivateKey(to, found.get()) != 1 || ::SSL_CTX_check_private_key(to) != 1)
    throw tls_error(fmt::format("{} does not belong to the {}: {}", key_pem.from, chain_pem.from, openssl_words()));
}

void believe(::SSL_CTX* to, std::string_view authorities, const char* what, bool tell_clients) {
  const pem source = load(authorities, what);
  for (const certificate_ptr& one : certificates(source)) {
    if (::X509_STORE_add_cert(::SSL_CTX_get_cert_store(to), one.get()) != 1) throw_bad(source, "certificate");
    if (tell_clients && ::SSL_CTX_add_client_CA(to, one.get()) != 1) throw std::bad_alloc();
  }
  // Whoever is believed need not be the last of its chain.
  ::X509_VERIFY_PARAM_set_flags(::SSL_CTX_get0_param(to), X509_V_FLAG_PARTIAL_CHAIN);
}

// "h2,http/1.1" as it goes over the wire: each behind its length.
std::string alpn_wire(std::string_view list) {
  std::string wire;
  for (std::size_t at = 0; !list.empty() && at <= list.size();) {
    const std::string_view one = list.substr(at, std::min(list.find(',', at), list.size()) - at);
    at += one.size() + 1;
    if (one.empty() || one.size() > 255)
      throw std::invalid_argument(
          fmt::format("tls: bad ALPN protocol \"{}\"; write them as \"h2,http/1.1\", each of 1 to 255 bytes", one));
    wire += static_cast<char>(one.size());
    wire += one;
  }
  return wire;
}

// The first of ours that the client has, too.
int choose_protocol(::SSL*, const unsigned char** chosen, unsigned char* size, const unsigned char* theirs,
                    unsigned their_size, void* settings) {
  const std::string& ours = static_cast<const tls_settings*>(settings)->alpn;
  unsigned char* found = nullptr;
  if (::SSL_select_next_proto(&found, size, reinterpret_cast<const unsigned char*>(ours.data()),
                              static_cast<unsigned>(ours.size()), theirs, their_size) != OPENSSL_NPN_NEGOTIATED)
    return SSL_TLSEXT_ERR_ALERT_FATAL;
  *chosen = found;
  return SSL_TLSEXT_ERR_OK;
}

bool is_address(const std::string& host) {
  const std::unique_ptr<::ASN1_OCTET_STRING, decltype([](::ASN1_OCTET_STRING* s) { ::ASN1_OCTET_STRING_free(s); })>
      bytes(::a2i_IPADDRESS(host.c_str()));
  ::ERR_clear_error();
  return bytes != nullptr;
}

std::shared_ptr<tls_settings> new_settings(bool is_server) {
  auto made = std::make_shared<tls_settings>();
  made->is_server = is_server;
  made->context.reset(::SSL_CTX_new(is_server ? ::TLS_server_method() : ::TLS_client_method()));
  ::SSL_CTX* const context = made->context.get();
  if (context == nullptr || SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1)
    throw tls_error("OpenSSL does not work: " + openssl_words());
  // An engine that would start anew in the middle could want to read in order to write.
  ::SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  // The engine of a connection that waits has no memory for records; the stream has room for the one to come.
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  return made;
}

}  // namespace

void expect_host(::SSL* ssl, std::string host, bool verify) {
  if (host.ends_with('.')) host.pop_back();
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  // OpenSSL would take ".example.org" for any host below.
  if (host.empty() || host.size() > 253 || host.find('\0') != std::string::npos || host.starts_with('.') ||
      host.find("..") != std::string::npos)
    throw std::invalid_argument(
        fmt::format("tls_connect: \"{}\" is no host name: it is that which the server's certificate is to be for",
                    host.substr(0, 64)));
  ::X509_VERIFY_PARAM* const checks = ::SSL_get0_param(ssl);
  ::X509_VERIFY_PARAM_set_hostflags(checks, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
  bool fine = true;
  if (is_address(host)) {
    if (verify) fine = ::X509_VERIFY_PARAM_set1_ip_asc(checks, host.c_str()) == 1;
  } else {
    fine = SSL_set_tlsext_host_name(ssl, host.c_str()) == 1;
    if (fine && verify) fine = ::X509_VERIFY_PARAM_set1_host(checks, host.c_str(), host.size()) == 1;
  }
  if (!fine) throw tls_error(fmt::format("TLS with {}: {}", host, openssl_words()));
}

}  // namespace detail

tls_context::tls_context(std::shared_ptr<const detail::tls_settings> settings) noexcept
    : settings_(std::move(settings)) {}

tls_context::tls_context() {
  static const tls_context only = client();
  settings_ = only.settings_;
}

tls_context tls_context::client(const tls_client_options& options) {
  if (options.certificate.empty() != options.key.empty())
    throw std::invalid_argument("tls_client_options: a certificate needs its key, and a key its certificate");
  if (!options.verify && !options.authorities.empty())
    throw std::invalid_argument("tls_client_options: with verify = false the authorities are of no use; leave out one");
  auto made = detail::new_settings(false);
  ::SSL_CTX* const context = made->context.get();
  made->verify = options.verify;
  made->alpn = detail::alpn_wire(options.alpn);
  ::SSL_CTX_set_verify(context, options.verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr);
  if (!options.authorities.empty()) {
    detail::believe(context, options.authorities, "authorities", false);
  } else if (options.verify && ::SSL_CTX_set_default_verify_paths(context) != 1) {
    throw tls_error("cannot read the system's certificates of authorities: " + detail::openssl_words() +
                    "; give tls_client_options::authorities");
  }
  if (!options.certificate.empty()) detail::show_certificate(context, options.certificate, options.key);
  if (!made->alpn.empty() &&
      ::SSL_CTX_set_alpn_protos(context, reinterpret_cast<const unsigned char*>(made->alpn.data()),
                                static_cast<unsigned>(made->alpn.size())) != 0)
    throw std::bad_alloc();
  return tls_context(std::move(made));
}

tls_context tls_context::server(const tls_server_options& options) {
  if (options.certificate.empty() || options.key.empty())
    throw std::invalid_argument("tls_server_options: a server needs a certificate and its key");
  auto made = detail::new_settings(true);
  ::SSL_CTX* const context = made->context.get();
  made->verify = !options.client_authorities.empty();
  made->alpn = detail::alpn_wire(options.alpn);
  detail::show_certificate(context, options.certificate, options.key);
  if (made->verify) {
    detail::believe(context, options.client_authorities, "client_authorities", true);
    ::SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  }
  // Clients come back with what this server has told them: without a name of its own it would not know them.
  static constexpr unsigned char name[] = "tutti";
  ::SSL_CTX_set_session_id_context(context, name, sizeof name - 1);
  if (!made->alpn.empty()) ::SSL_CTX_set_alpn_select_cb(context, &detail::choose_protocol, made.get());
  return tls_context(std::move(made));
}

}  // namespace tutti::io
