// certificates: made for a test at the moment, and gone with it.
#pragma once
#include <gtest/gtest.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <array>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>

namespace tutti_test {

/// A certificate and its key, as PEM.
struct identity {
  std::string certificate, key;
};

/// What a certificate is to say.
struct certificate_wish {
  const char* name = "localhost";
  const char* hosts = "DNS:localhost,IP:127.0.0.1,IP:::1";  // "": none
  bool is_authority = false;
  long begins = -3600, ends = 86400;  // seconds from now
};

namespace detail {

using bio_ptr = std::unique_ptr<::BIO, decltype([](::BIO* b) { ::BIO_free(b); })>;
using key_ptr = std::unique_ptr<::EVP_PKEY, decltype([](::EVP_PKEY* k) { ::EVP_PKEY_free(k); })>;
using x509_ptr = std::unique_ptr<::X509, decltype([](::X509* x) { ::X509_free(x); })>;

inline bio_ptr reader(const std::string& text) {
  return bio_ptr(::BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}
inline std::string text_of(const bio_ptr& bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}
inline void must(bool fine) {
  if (!fine) std::abort();
}
inline void extend(::X509* to, ::X509* issuer, int what, const char* value) {
  ::X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  ::X509V3_set_ctx(&context, issuer, to, nullptr, nullptr, 0);
  ::X509_EXTENSION* const made = ::X509V3_EXT_conf_nid(nullptr, &context, what, value);
  must(made != nullptr && ::X509_add_ext(to, made, -1) == 1);
  ::X509_EXTENSION_free(made);
}

}  // namespace detail

/// Signed by `issuer`; null: by itself.
inline identity make_certificate(const certificate_wish& wish, const identity* issuer = nullptr) {
  using namespace detail;
  const key_ptr key(EVP_EC_gen("P-256"));
  const x509_ptr made(::X509_new());
  must(key != nullptr && made != nullptr);
  x509_ptr issuer_certificate;
  key_ptr issuer_key;
  if (issuer != nullptr) {
    issuer_certificate.reset(::PEM_read_bio_X509(reader(issuer->certificate).get(), nullptr, nullptr, nullptr));
    issuer_key.reset(::PEM_read_bio_PrivateKey(reader(issuer->key).get(), nullptr, nullptr, nullptr));
  }
  ::X509* const above = issuer == nullptr ? made.get() : issuer_certificate.get();
  static long serial = 1000;
  ::X509_set_version(made.get(), 2);
  ::ASN1_INTEGER_set(::X509_get_serialNumber(made.get()), ++serial);
  ::X509_gmtime_adj(X509_getm_notBefore(made.get()), wish.begins);
  ::X509_gmtime_adj(X509_getm_notAfter(made.get()), wish.ends);
  ::X509_set_pubkey(made.get(), key.get());
  ::X509_NAME_add_entry_by_txt(::X509_get_subject_name(made.get()), "CN", MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char*>(wish.name), -1, -1, 0);
  ::X509_set_issuer_name(made.get(), ::X509_get_subject_name(above));
  extend(made.get(), above, NID_basic_constraints, wish.is_authority ? "critical,CA:TRUE" : "critical,CA:FALSE");
  extend(made.get(), above, NID_subject_key_identifier, "hash");
  if (issuer != nullptr) extend(made.get(), above, NID_authority_key_identifier, "keyid");
  if (*wish.hosts != '\0') extend(made.get(), above, NID_subject_alt_name, wish.hosts);
  must(::X509_sign(made.get(), issuer == nullptr ? key.get() : issuer_key.get(), ::EVP_sha256()) > 0);
  const bio_ptr certificate_out(::BIO_new(::BIO_s_mem())), key_out(::BIO_new(::BIO_s_mem()));
  must(::PEM_write_bio_X509(certificate_out.get(), made.get()) == 1);
  must(::PEM_write_bio_PrivateKey(key_out.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) == 1);
  return {text_of(certificate_out), text_of(key_out)};
}

/// An authority, a server's certificate for this machine and a client's that it has signed: one of each for the
/// program.
struct trust {
  identity authority = make_certificate({.name = "Test authority", .hosts = "", .is_authority = true});
  identity server = make_certificate({}, &authority);
  identity client = make_certificate({.name = "a client", .hosts = ""}, &authority);
};
inline const trust& test_trust() {
  static const trust made;
  return made;
}

/// A file of its own for a text, removed in the end.
class text_file {
 public:
  explicit text_file(const std::string& text) : path_(testing::TempDir() + "tutti_XXXXXX") {
    const int fd = ::mkstemp(path_.data());
    if (fd < 0) std::abort();
    ::close(fd);
    std::ofstream(path_) << text;
  }
  ~text_file() { ::unlink(path_.c_str()); }
  text_file(const text_file&) = delete;
  text_file& operator=(const text_file&) = delete;
  const std::string& path() const noexcept { return path_; }

 private:
  std::string path_;
};

}  // namespace tutti_test
