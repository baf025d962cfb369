#include <tutti/io/inside/tls_errors.hpp>
#include <tutti/io/tls.hpp>

#include <fmt/format.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <arpa/inet.h>

#include <array>
#include <memory>

namespace tutti::io::detail {
namespace {

constexpr int alert = 1000;  // SSL_R_..._ALERT_... codes: what the peer has said

const char* words_for(int reason) {
  switch (reason) {
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST: return "the peer speaks HTTP without TLS: it should use https";
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_UNKNOWN_PROTOCOL:
    case SSL_R_PACKET_LENGTH_TOO_LONG:
    case SSL_R_RECORD_LENGTH_MISMATCH:
      return "the peer does not speak TLS: is it the right port, and does the peer expect TLS there?";
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_NO_PROTOCOLS_AVAILABLE:
    case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
    case SSL_R_NO_SHARED_CIPHER: return "both sides have no version (TLS 1.2 or newer) or no cipher in common";
    case alert + SSL3_AD_HANDSHAKE_FAILURE:
      return "the peer could not come to terms with us: no version (TLS 1.2 or newer) or no cipher in common, or it "
             "asks "
             "for a certificate";
    case SSL_R_NO_APPLICATION_PROTOCOL:
    case SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL: return "both sides have no ALPN protocol in common";
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
      return "the client has shown no certificate, and must: give it tls_client_options::certificate and key";
    case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
      return "the server asks for a certificate: give tls_client_options::certificate and key";
    case alert + TLS1_AD_UNKNOWN_CA: return "the peer does not trust the authority of our certificate";
    case alert + SSL3_AD_CERTIFICATE_EXPIRED: return "the peer says that our certificate has expired";
    case alert + SSL3_AD_BAD_CERTIFICATE:
    case alert + SSL3_AD_CERTIFICATE_UNKNOWN:
    case alert + SSL3_AD_UNSUPPORTED_CERTIFICATE: return "the peer does not take our certificate";
    case SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC:
    case alert + SSL3_AD_BAD_RECORD_MAC:
      return "what arrived is not what was sent: somebody has changed it on its way, or it is not TLS";
    default: return nullptr;
  }
}

std::string words(int value) {
  switch (static_cast<tls_fault>(value)) {
    case tls_fault::truncated:
      return "stream truncated: the peer closed the connection without ending TLS (no close_notify); data may be "
             "missing";
    case tls_fault::write_given_up:
      return "an earlier write was cancelled or timed out in the middle: close the stream and connect again";
    case tls_fault::unknown: return "OpenSSL gives no reason";
  }
  const auto code = static_cast<unsigned long>(static_cast<unsigned>(value));
  if (ERR_GET_LIB(code) == ERR_LIB_SSL) {
    if (const char* const known = words_for(ERR_GET_REASON(code))) return known;
  }
  const char* const reason = ::ERR_reason_error_string(code);
  return reason == nullptr ? fmt::format("OpenSSL's error {:x}", code) : reason;
}

class category final : public throwing_category {
 public:
  const char* name() const noexcept override { return "tls"; }
  std::string message(int value) const override { return words(value); }
  std::exception_ptr exception(const std::string& tried, int value) const override {
    const std::string text = tried + ": " + words(value);
    if (static_cast<tls_fault>(value) == tls_fault::write_given_up) return std::make_exception_ptr(closed(text));
    return std::make_exception_ptr(tls_error(text, static_cast<tls_fault>(value) == tls_fault::truncated));
  }
};

std::string date(const ::ASN1_TIME* when) {
  ::tm parts{};
  if (::ASN1_TIME_to_tm(when, &parts) != 1) return "an unknown date";
  return fmt::format("{:04}-{:02}-{:02} {:02}:{:02} UTC", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday,
                     parts.tm_hour, parts.tm_min);
}

std::string text(const ::ASN1_STRING* s) {
  return {reinterpret_cast<const char*>(::ASN1_STRING_get0_data(s)), static_cast<std::size_t>(::ASN1_STRING_length(s))};
}

std::string address(const ::ASN1_OCTET_STRING* bytes) {
  std::array<char, INET6_ADDRSTRLEN> room{};
  const int size = ::ASN1_STRING_length(bytes);
  const int family = size == 4 ? AF_INET : AF_INET6;
  if ((size != 4 && size != 16) || ::inet_ntop(family, ::ASN1_STRING_get0_data(bytes), room.data(),
                                               static_cast<::socklen_t>(room.size())) == nullptr)
    return "a bad address";
  return room.data();
}

// What a peer may have put there is shown without what could move a terminal's cursor, and not without end.
std::string shown(std::string s) {
  for (char& c : s)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  if (s.size() > 200) s = s.substr(0, 200) + "...";
  return s;
}

std::string names_of(const ::X509* certificate) {
  std::string all;
  const auto add = [&](const std::string& one) { all += (all.empty() ? "" : ", ") + one; };
  struct free_names {
    void operator()(::GENERAL_NAMES* names) const noexcept { ::GENERAL_NAMES_free(names); }
  };
  const std::unique_ptr<::GENERAL_NAMES, free_names> names(
      static_cast<::GENERAL_NAMES*>(::X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  for (int i = 0; names != nullptr && i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const ::GENERAL_NAME* const name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type == GEN_DNS) add(text(name->d.dNSName));
    if (name->type == GEN_IPADD) add(address(name->d.iPAddress));
  }
  if (!all.empty()) return shown(all);
  return fmt::format("no host (\"{}\" is its subject, where hosts are not looked for)", subject_of(certificate));
}

}  // namespace

const std::error_category& tls_category() noexcept {
  static const category only;
  return only;
}

std::error_code make_error(tls_fault fault) noexcept { return {static_cast<int>(fault), tls_category()}; }

std::error_code take_openssl_error() noexcept {
  const unsigned long code = ::ERR_peek_error();
  ::ERR_clear_error();
  if (code == 0 || ERR_SYSTEM_ERROR(code)) return make_error(tls_fault::unknown);
  return {static_cast<int>(code), tls_category()};
}

std::string openssl_words() { return take_openssl_error().message(); }

std::string subject_of(const ::X509* certificate) {
  const std::unique_ptr<::BIO, decltype([](::BIO* b) { ::BIO_free(b); })> out(::BIO_new(::BIO_s_mem()));
  if (out == nullptr) return "?";
  ::X509_NAME_print_ex(out.get(), ::X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
  char* data = nullptr;
  const long size = BIO_get_mem_data(out.get(), &data);
  return shown(std::string(data, static_cast<std::size_t>(size)));
}

bad_certificate what_is_bad(::X509_STORE_CTX* chain) {
  bad_certificate bad;
  bad.reason = ::X509_STORE_CTX_get_error(chain);
  bad.depth = ::X509_STORE_CTX_get_error_depth(chain);
  const ::X509* const at_fault = ::X509_STORE_CTX_get_current_cert(chain);
  if (at_fault == nullptr) return bad;
  bad.subject = subject_of(at_fault);
  bad.names = names_of(at_fault);
  bad.begins = date(::X509_get0_notBefore(at_fault));
  bad.ends = date(::X509_get0_notAfter(at_fault));
  return bad;
}

std::string in_words(const bad_certificate& bad, const std::string& whose) {
  const std::string owner = whose.empty() ? "the client" : whose;
  std::string which = "the certificate of " + owner;
  if (bad.depth > 0) which += fmt::format(" depends on one (\"{}\") that", bad.subject);
  switch (bad.reason) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return fmt::format("the certificate of {} is for {}: connect by a name that it is for", owner, bad.names);
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return fmt::format("{} expired on {}: its owner has to renew it (or is this machine's clock wrong?)", which,
                         bad.ends);
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return fmt::format("{} is not valid before {}: is this machine's clock wrong?", which, bad.begins);
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
      return fmt::format(
          "the certificate of {} is not signed by an authority that {} trusts{}: if it is the right one, give its "
          "authority as {}",
          owner, whose.empty() ? "this server" : "this machine",
          bad.reason == X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT ? " (self-signed)" : "",
          whose.empty() ? "tls_server_options::client_authorities" : "tls_client_options::authorities");
    default: return fmt::format("{} is refused: {}", which, ::X509_verify_cert_error_string(bad.reason));
  }
}

}  // namespace tutti::io::detail
