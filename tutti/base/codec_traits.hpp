// codec_traits: which types can be encoded, and in which way; shared by the binary and the JSON codec.
#pragma once
#include <array>
#include <boost/pfr/core.hpp>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

namespace cereal {  // declared, not included: its headers cost 0.2 s, and only users of its wrappers need them
class access;
template <class T>
class NameValuePair;
template <class T>
class SizeTag;
template <class T>
struct BinaryData;
template <class K, class V>
struct MapItem;
template <class B>
struct base_class;
template <class B>
struct virtual_base_class;
}  // namespace cereal

namespace tutti::detail {

// The way a type is encoded. Order of precedence, first match: a type's own serialize, the standard types by name,
// containers, cereal's support for other types (when its header is included), aggregates.
enum class codec_kind {
  none,
  boolean,
  number,
  enumeration,
  empty,       // std::monostate, std::nullptr_t
  string,      // std::basic_string
  path,        // std::filesystem::path
  duration,    // std::chrono::duration
  time_point,  // std::chrono::time_point
  optional,
  pointer,  // std::unique_ptr
  variant,
  tuple,     // std::pair, std::tuple, std::array
  sequence,  // vector, deque, list and what looks like them
  set,
  map,
  own,        // the type's own serialize, or save and load
  cereal,     // cereal's save and load for the type
  wrapper,    // cereal's NameValuePair, SizeTag, BinaryData, MapItem, base_class
  json,       // JSON only: the type is JSON itself
  described,  // JSON only: by BOOST_DESCRIBE_STRUCT
  aggregate,  // by Boost.PFR
};

template <class T>
inline constexpr codec_kind named_kind = codec_kind::none;
template <>
inline constexpr codec_kind named_kind<std::monostate> = codec_kind::empty;
template <>
inline constexpr codec_kind named_kind<std::nullptr_t> = codec_kind::empty;
template <class C, class T, class A>
inline constexpr codec_kind named_kind<std::basic_string<C, T, A>> = codec_kind::string;
template <class R, class P>
inline constexpr codec_kind named_kind<std::chrono::duration<R, P>> = codec_kind::duration;
template <class C, class D>
inline constexpr codec_kind named_kind<std::chrono::time_point<C, D>> = codec_kind::time_point;
template <class T>
inline constexpr codec_kind named_kind<std::optional<T>> = codec_kind::optional;
template <class T>
inline constexpr codec_kind named_kind<std::unique_ptr<T>> =
    std::is_array_v<T> || std::is_polymorphic_v<T> ? codec_kind::none : codec_kind::pointer;
template <class... T>
inline constexpr codec_kind named_kind<std::variant<T...>> = codec_kind::variant;
template <class A, class B>
inline constexpr codec_kind named_kind<std::pair<A, B>> = codec_kind::tuple;
template <class... T>
inline constexpr codec_kind named_kind<std::tuple<T...>> = codec_kind::tuple;
template <class T, std::size_t N>
inline constexpr codec_kind named_kind<std::array<T, N>> = codec_kind::tuple;
template <class T>
inline constexpr codec_kind named_kind<cereal::NameValuePair<T>> = codec_kind::wrapper;
template <class T>
inline constexpr codec_kind named_kind<cereal::SizeTag<T>> = codec_kind::wrapper;
template <class T>
inline constexpr codec_kind named_kind<cereal::BinaryData<T>> = codec_kind::wrapper;
template <class K, class V>
inline constexpr codec_kind named_kind<cereal::MapItem<K, V>> = codec_kind::wrapper;
template <class B>
inline constexpr codec_kind named_kind<cereal::base_class<B>> = codec_kind::wrapper;
template <class B>
inline constexpr codec_kind named_kind<cereal::virtual_base_class<B>> = codec_kind::wrapper;

// std::filesystem::path, known by its members so that <filesystem> is not needed here.
template <class T>
concept path_like = std::constructible_from<T, std::string> && requires(const T& p) {
  { p.native() } -> std::same_as<const std::string&>;
  p.lexically_normal();
};

template <class T>
concept iterable = requires(T& c, const T& k) {
  typename T::value_type;
  c.begin();
  c.end();
  { k.size() } -> std::convertible_to<std::size_t>;
  c.clear();
};
template <class T>
concept sequence_like = iterable<T> && requires(T& c, typename T::value_type v) {
  c.push_back(std::move(v));
  c.back();
};
template <class T>
concept map_like = iterable<T> && requires(T& c, typename T::key_type k, typename T::mapped_type v) {
  c.emplace_hint(c.end(), std::move(k), std::move(v));
};
template <class T>
concept set_like = iterable<T> && requires(T& c, typename T::key_type k) { c.emplace_hint(c.end(), std::move(k)); };

// `Access` is cereal::access behind a parameter: looked into only where it is complete.
template <class T, class Out, class In, class Access>
concept member_serialize = requires(T& t, Out& out, In& in) {
  t.serialize(out);
  t.serialize(in);
} || requires(T& t, Out& out, In& in) {
  Access::member_serialize(out, t);
  Access::member_serialize(in, t);
};
template <class T, class Out, class In, class Access>
concept member_save_load = requires(T& t, const T& k, Out& out, In& in) {
  k.save(out);
  t.load(in);
} || requires(T& t, const T& k, Out& out, In& in) {
  Access::member_save(out, k);
  Access::member_load(in, t);
};
template <class T, class Out, class In>
concept free_serialize = requires(T& t, Out& out, In& in) {
  serialize(out, t);
  serialize(in, t);
};
template <class T, class Out, class In>
concept free_save_load = requires(T& t, const T& k, Out& out, In& in) {
  save(out, k);
  load(in, t);
};

// Converts to bases of T only: T{it} compiles when T begins with a base class, which Boost.PFR cannot take apart.
template <class T>
struct base_probe {
  template <class U>
    requires(std::is_base_of_v<U, T> && !std::is_same_v<U, T>)
  operator U() const;
};
template <class T>
concept plain_aggregate =
    std::is_class_v<T> && std::is_aggregate_v<T> && !(!std::is_empty_v<T> && requires { T{base_probe<T>{}}; });

// The number of fields of an aggregate. Boost.PFR's own count makes g++ 12 crash on fields like std::array<std::string,
// 2>, and tries the largest numbers first; its test for one number, and the taking apart, serve us well.
template <class T, std::size_t N>
concept has_fields = requires { typename boost::pfr::detail::enable_if_constructible_helper_t<T, N>; };
template <class T, std::size_t N = 0>
consteval std::size_t field_count() {
  if constexpr (has_fields<T, N + 1>) {
    return field_count<T, N + 1>();
  } else {
    return N;
  }
}

template <class T>
constexpr auto tie_fields(T& value) noexcept {
  return boost::pfr::detail::tie_as_tuple(value, boost::pfr::detail::size_t_<field_count<std::remove_const_t<T>>()>());
}
template <std::size_t I, class T>
using field_type =
    std::remove_reference_t<decltype(boost::pfr::detail::sequence_tuple::get<I>(tie_fields(std::declval<T&>())))>;

template <class T, class Use>
void for_each_field(T& value, Use use) {
  auto fields = tie_fields(value);
  [&]<std::size_t... I>(std::index_sequence<I...>) {
    (use(boost::pfr::detail::sequence_tuple::get<I>(fields)), ...);
  }(std::make_index_sequence<field_count<std::remove_const_t<T>>()>());
}

template <class T, class Codec>
consteval codec_kind kind_of() {
  using Out = typename Codec::template output<void>;  // void: not associated with namespace cereal, see basic archives
  using In = typename Codec::template input<void>;
  using Access = typename Codec::access;
  if constexpr (!std::is_same_v<T, std::remove_cvref_t<T>>) {
    return codec_kind::none;
  } else if constexpr (std::is_same_v<T, bool>) {
    return codec_kind::boolean;
  } else if constexpr (std::is_arithmetic_v<T>) {
    return std::is_same_v<T, long double> ? codec_kind::none : codec_kind::number;
  } else if constexpr (std::is_enum_v<T>) {
    return codec_kind::enumeration;
  } else if constexpr (named_kind<T> != codec_kind::none) {
    return named_kind<T>;
  } else if constexpr (!std::is_class_v<T>) {
    return codec_kind::none;
  } else if constexpr (Codec::template is_json<T>) {
    return codec_kind::json;
  } else if constexpr (member_serialize<T, Out, In, Access> || member_save_load<T, Out, In, Access> ||
                       free_serialize<T, Out, In> || free_save_load<T, Out, In>) {
    return codec_kind::own;
  } else if constexpr (Codec::template is_described<T>) {
    return codec_kind::described;
  } else if constexpr (path_like<T>) {
    return codec_kind::path;
  } else if constexpr (sequence_like<T>) {
    return codec_kind::sequence;
  } else if constexpr (map_like<T>) {
    return codec_kind::map;
  } else if constexpr (set_like<T>) {
    return codec_kind::set;
  } else if constexpr (free_serialize<T, typename Codec::template output<Access>,
                                      typename Codec::template input<Access>> ||
                       free_save_load<T, typename Codec::template output<Access>,
                                      typename Codec::template input<Access>>) {
    return codec_kind::cereal;
  } else if constexpr (plain_aggregate<T>) {
    return codec_kind::aggregate;
  } else {
    return codec_kind::none;
  }
}

// Calls the serialize or save of a type of kind own or cereal.
template <class Archive, class T, class Access = cereal::access>
void save_own(Archive& archive, const T& value) {
  T& changeable = const_cast<T&>(value);  // serialize is one function for both directions; here it only reads
  if constexpr (requires { changeable.serialize(archive); }) {
    changeable.serialize(archive);
  } else if constexpr (requires { value.save(archive); }) {
    value.save(archive);
  } else if constexpr (requires { Access::member_serialize(archive, changeable); }) {
    Access::member_serialize(archive, changeable);
  } else if constexpr (requires { Access::member_save(archive, value); }) {
    Access::member_save(archive, value);
  } else if constexpr (requires { serialize(archive, changeable); }) {
    serialize(archive, changeable);
  } else {
    save(archive, value);
  }
}

// Calls the serialize or load of a type of kind own or cereal.
template <class Archive, class T, class Access = cereal::access>
void load_own(Archive& archive, T& value) {
  if constexpr (requires { value.serialize(archive); }) {
    value.serialize(archive);
  } else if constexpr (requires { value.load(archive); }) {
    value.load(archive);
  } else if constexpr (requires { Access::member_serialize(archive, value); }) {
    Access::member_serialize(archive, value);
  } else if constexpr (requires { Access::member_load(archive, value); }) {
    Access::member_load(archive, value);
  } else if constexpr (requires { serialize(archive, value); }) {
    serialize(archive, value);
  } else {
    load(archive, value);
  }
}

template <class T>
inline constexpr bool is_view = false;
template <class C, class T>
inline constexpr bool is_view<std::basic_string_view<C, T>> = true;

// Looks through T and all that it is made of. With Report, a static_assert stops at the part that cannot be encoded.
// `Seen` are the types around T: recursive types are fine.
template <bool Report, class T, class Codec, class... Seen>
consteval bool check_encodable() {
  if constexpr ((std::is_same_v<T, Seen> || ...)) {
    return true;
  } else {
    constexpr codec_kind kind = kind_of<T, Codec>();
    if constexpr (Report) {
      static_assert(!std::is_pointer_v<T> && !std::is_reference_v<T>,
                    "tutti: a pointer or reference cannot be encoded: an address means nothing in another process");
      static_assert(!is_view<T>, "tutti: a view cannot be encoded, it owns nothing: use std::string or std::vector");
      static_assert(!std::is_same_v<T, long double>,
                    "tutti: long double cannot be encoded, it differs between machines: use double");
      static_assert(kind != codec_kind::none || std::is_pointer_v<T> || std::is_reference_v<T> || is_view<T> ||
                        std::is_same_v<T, long double>,
                    "tutti: this type cannot be encoded: make it an aggregate of encodable members without base "
                    "classes, or give it `template <class Archive> void serialize(Archive& ar) { ar(a, b); }`");
      static_assert(kind == codec_kind::none || kind == codec_kind::tuple || std::is_default_constructible_v<T>,
                    "tutti: this type cannot be decoded: it needs a default constructor");
    }
    constexpr bool look_inside = Report && kind == codec_kind::tuple;  // the fault is in a part: report that one
    if constexpr (kind == codec_kind::none || (!std::is_default_constructible_v<T> && !look_inside)) {
      return false;
    } else if constexpr (kind == codec_kind::optional || kind == codec_kind::sequence) {
      return check_encodable<Report, typename T::value_type, Codec, Seen..., T>();
    } else if constexpr (kind == codec_kind::pointer) {
      return check_encodable<Report, typename T::element_type, Codec, Seen..., T>();
    } else if constexpr (kind == codec_kind::set) {
      return check_encodable<Report, typename T::key_type, Codec, Seen..., T>();
    } else if constexpr (kind == codec_kind::map) {
      return check_encodable<Report, typename T::key_type, Codec, Seen..., T>() &&
             check_encodable<Report, typename T::mapped_type, Codec, Seen..., T>();
    } else if constexpr (kind == codec_kind::duration) {
      return check_encodable<Report, typename T::rep, Codec, Seen..., T>();
    } else if constexpr (kind == codec_kind::variant) {
      return []<std::size_t... I>(std::index_sequence<I...>) {
        return (check_encodable<Report, std::variant_alternative_t<I, T>, Codec, Seen..., T>() && ...);
      }(std::make_index_sequence<std::variant_size_v<T>>());
    } else if constexpr (kind == codec_kind::tuple) {
      return []<std::size_t... I>(std::index_sequence<I...>) {
        return (check_encodable<Report, std::tuple_element_t<I, T>, Codec, Seen..., T>() && ...);
      }(std::make_index_sequence<std::tuple_size_v<T>>());
    } else if constexpr (kind == codec_kind::described) {
      return Codec::template check_members<Report, T, Seen...>();
    } else if constexpr (kind == codec_kind::aggregate && !std::is_empty_v<T>) {
      return []<std::size_t... I>(std::index_sequence<I...>) {
        return (check_encodable<Report, field_type<I, T>, Codec, Seen..., T>() && ...);
      }(std::make_index_sequence<field_count<T>()>());
    } else {
      return true;
    }
  }
}

}  // namespace tutti::detail
