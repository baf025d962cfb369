// tls_errors: OpenSSL's errors in plain words.
#pragma once
#include <tutti/io/stream.hpp>

#include <openssl/x509.h>

#include <string>
#include <system_error>

namespace tutti::io::detail {

/// Errors of tls_category that are not OpenSSL's. Below zero, where none of those are.
enum class tls_fault : int {
  truncated = -1,       ///< the peer went away without an end
  write_given_up = -2,  ///< a write was cancelled earlier
  unknown = -3,         ///< OpenSSL gave no reason
};

/// What a failed operation of a tls_stream tells; the value: OpenSSL's code, or a tls_fault. Thrown as tls_error.
const std::error_category& tls_category() noexcept;
[[nodiscard]] std::error_code make_error(tls_fault fault) noexcept;
/// The first of OpenSSL's errors of this thread, and forgets all of them.
[[nodiscard]] std::error_code take_openssl_error() noexcept;
/// The same in words.
[[nodiscard]] std::string openssl_words();

/// Why a certificate was refused.
struct bad_certificate {
  int reason = 0;       ///< X509_V_ERR_..., 0: it was not
  int depth = 0;        ///< 0: the peer's own, else one of its authorities'
  std::string subject;  ///< whose it is
  std::string names;    ///< the hosts it is for
  std::string begins, ends;
};
/// Of the chain that is being checked.
[[nodiscard]] bad_certificate what_is_bad(::X509_STORE_CTX* chain);
/// "the certificate of example.org is for other.org: ...". `whose`: a host; "" for a client.
[[nodiscard]] std::string in_words(const bad_certificate& bad, const std::string& whose);

/// "CN=example.org, O=Example".
[[nodiscard]] std::string subject_of(const ::X509* certificate);

}  // namespace tutti::io::detail
