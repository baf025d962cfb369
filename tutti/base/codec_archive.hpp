// codec_archive: what walks through a value and writes or reads its bytes; codec.hpp is the door to it.
//
// The format. Numbers and enums: their bytes, least first; bool: one byte, 0 or 1. Sizes: 7 bits per byte, least first,
// the high bit set on all but the last. Strings and containers: the size, then the elements (a map's as key, value).
// Optional and unique_ptr: a bool, then the value if there is one. Variant: the index as a size, then the value. Path:
// its string; chrono: the count. Pair, tuple, array, aggregate: the parts in order. What would take no bytes at all
// takes one, 0, so that n elements take n bytes at least and a false size shows before anything is allocated for it. No
// types, no names, no versions: both sides are built from the same definitions. function_identity::signature tells when
// a parameter's type became another one, not when the members of a type changed.
#pragma once
#include <tutti/base/codec_traits.hpp>
#include <tutti/base/error.hpp>
#include <tutti/base/huge_pages.hpp>

#include <bit>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace tutti {

/// Values nested deeper than this are refused, on both sides.
inline constexpr int codec_depth_limit = 64;

namespace detail {

static_assert(std::endian::native == std::endian::little, "tutti: the codec copies numbers as they are in memory");

// Numbers whose bytes can be copied in bulk: every pattern of bits is a value.
template <class T>
inline constexpr bool is_bulk =
    (std::is_arithmetic_v<T> && !std::is_same_v<T, bool> && !std::is_same_v<T, long double>) ||
    std::is_same_v<T, std::byte>;

class byte_writer {
 public:
  explicit byte_writer(std::string& out) noexcept : out_(out) {}
  void raw(const void* data, std::size_t size) { out_.append(static_cast<const char*>(data), size); }
  void size(std::uint64_t n);  // 7 bits per byte, least first

 protected:
  void enter() {
    if (++depth_ > codec_depth_limit) too_deep();
  }
  [[noreturn]] static void too_deep();

  std::string& out_;
  int depth_ = 0;
};

class byte_reader {
 public:
  explicit byte_reader(std::string_view in) noexcept : in_(in) {}
  void raw(void* data, std::size_t size) {
    if (size > left()) too_short(size);
    if (size != 0) std::memcpy(data, in_.data() + at_, size);
    at_ += size;
  }
  std::size_t size();  // refused when larger than the bytes left: each element takes one at least
  [[nodiscard]] std::size_t left() const noexcept { return in_.size() - at_; }
  [[nodiscard]] std::size_t offset() const noexcept { return at_; }
  [[noreturn]] void fail(const char* why) const;
  void finish() const;                  // refuses bytes left over
  [[noreturn]] void translate() const;  // in a catch block: what a type's own load threw becomes a decode_error

 protected:
  void enter() {
    if (++depth_ > codec_depth_limit) fail("nested deeper than 64 levels");
  }
  void pad();
  std::size_t variant_index(std::size_t alternatives);
  [[noreturn]] void too_short(std::size_t wanted) const;

  std::string_view in_;
  std::size_t at_ = 0;
  int depth_ = 0;
};

template <class Association>
class basic_output_archive;
template <class Association>
class basic_input_archive;

struct binary_codec {
  template <class Association>
  using output = basic_output_archive<Association>;
  template <class Association>
  using input = basic_input_archive<Association>;
  using access = cereal::access;
  template <class T>
  static constexpr bool is_described = false;
  template <class T>
  static constexpr bool is_json = false;
};

// Writes values. `Association` = cereal::access lets argument-dependent lookup find cereal's functions for types that
// we do not know; with void, it finds a type's own only.
template <class Association>
class basic_output_archive : public byte_writer {
 public:
  using is_saving = std::true_type;
  using is_loading = std::false_type;
  using byte_writer::byte_writer;

  template <class... T>
  basic_output_archive& operator()(const T&... values) {
    (put(values), ...);
    return *this;
  }
  template <class T>
  basic_output_archive& operator&(const T& value) {
    put(value);
    return *this;
  }

 private:
  template <class T>
  void put(const T& value) {
    constexpr codec_kind kind = kind_of<T, binary_codec>();
    if constexpr (kind == codec_kind::boolean) {
      out_.push_back(value ? '\1' : '\0');
    } else if constexpr (kind == codec_kind::number) {
      raw(&value, sizeof value);
    } else if constexpr (kind == codec_kind::enumeration) {
      put(static_cast<std::underlying_type_t<T>>(value));
    } else if constexpr (kind == codec_kind::string) {
      size(value.size());
      raw(value.data(), value.size() * sizeof(typename T::value_type));
    } else if constexpr (kind == codec_kind::path) {
      put(value.native());
    } else if constexpr (kind == codec_kind::duration) {
      put(value.count());
    } else if constexpr (kind == codec_kind::time_point) {
      put(value.time_since_epoch().count());
    } else if constexpr (kind == codec_kind::wrapper) {
      put_wrapper(value);
    } else {
      enter();
      const std::size_t before = out_.size();
      put_class<kind>(value);
      if (out_.size() == before) out_.push_back('\0');  // so that n elements always take n bytes
      --depth_;
    }
  }

  template <codec_kind Kind, class T>
  void put_class(const T& value) {
    if constexpr (Kind == codec_kind::empty) {
    } else if constexpr (Kind == codec_kind::optional || Kind == codec_kind::pointer) {
      put(static_cast<bool>(value));
      if (value) put(*value);
    } else if constexpr (Kind == codec_kind::variant) {
      if (value.valueless_by_exception()) throw encode_error("cannot encode a std::variant that lost its value");
      size(value.index());
      std::visit([this](const auto& chosen) { this->put(chosen); }, value);
    } else if constexpr (Kind == codec_kind::tuple) {
      std::apply([this](const auto&... part) { (this->put(part), ...); }, value);
    } else if constexpr (Kind == codec_kind::sequence) {
      using E = typename T::value_type;
      size(value.size());
      if constexpr (is_bulk<E> && requires { value.data(); }) {
        raw(value.data(), value.size() * sizeof(E));
      } else {
        for (auto&& element : value) put(static_cast<const E&>(element));
      }
    } else if constexpr (Kind == codec_kind::set) {
      size(value.size());
      for (const auto& key : value) put(key);
    } else if constexpr (Kind == codec_kind::map) {
      size(value.size());
      for (const auto& [key, mapped] : value) {
        put(key);
        put(mapped);
      }
    } else if constexpr (Kind == codec_kind::own || Kind == codec_kind::cereal) {
      save_own(*this, value);
    } else if constexpr (Kind == codec_kind::aggregate) {
      if constexpr (!std::is_empty_v<T>) for_each_field(value, [this](const auto& field) { this->put(field); });
    } else {
      (void)check_encodable<true, T, binary_codec>();
    }
  }

  template <class V>
  void put_wrapper(const cereal::NameValuePair<V>& pair) {
    put(pair.value);
  }
  template <class V>
  void put_wrapper(const cereal::SizeTag<V>& tag) {
    size(tag.size);
  }
  template <class V>
  void put_wrapper(const cereal::BinaryData<V>& block) {
    raw(block.data, static_cast<std::size_t>(block.size));
  }
  template <class K, class V>
  void put_wrapper(const cereal::MapItem<K, V>& item) {
    put(item.key);
    put(item.value);
  }
  template <class B>
  void put_wrapper(const cereal::base_class<B>& base) {
    put(*base.base_ptr);
  }
  template <class B>
  void put_wrapper(const cereal::virtual_base_class<B>& base) {
    put(*base.base_ptr);
  }
};

// What owns memory that it can be read into again.
template <class T>
inline constexpr bool has_memory =
    kind_of<T, binary_codec>() == codec_kind::string || kind_of<T, binary_codec>() == codec_kind::sequence;

// Reads values, the mirror of the above.
template <class Association>
class basic_input_archive : public byte_reader {
 public:
  using is_saving = std::false_type;
  using is_loading = std::true_type;
  using byte_reader::byte_reader;

  template <class... T>
  basic_input_archive& operator()(T&&... values) {
    (get(values), ...);
    return *this;
  }
  template <class T>
  basic_input_archive& operator&(T&& value) {
    get(value);
    return *this;
  }

 private:
  template <class T>
  T take() {
    T value = T();
    get(value);
    return value;
  }

  template <class T>
  void get(T& value) {
    constexpr codec_kind kind = kind_of<T, binary_codec>();
    if constexpr (kind == codec_kind::boolean) {
      unsigned char byte = 0;
      raw(&byte, 1);
      if (byte > 1) fail("a bool that is neither 0 nor 1");
      value = byte != 0;
    } else if constexpr (kind == codec_kind::number) {
      raw(&value, sizeof value);
    } else if constexpr (kind == codec_kind::enumeration) {
      value = static_cast<T>(take<std::underlying_type_t<T>>());
    } else if constexpr (kind == codec_kind::string) {
      get_bulk(value);
    } else if constexpr (kind == codec_kind::path) {
      value = T(take<std::string>());
    } else if constexpr (kind == codec_kind::duration) {
      value = T(take<typename T::rep>());
    } else if constexpr (kind == codec_kind::time_point) {
      value = T(typename T::duration(take<typename T::rep>()));
    } else if constexpr (kind == codec_kind::wrapper) {
      get_wrapper(value);
    } else {
      enter();
      const std::size_t before = at_;
      get_class<kind>(value);
      if (at_ == before) pad();
      --depth_;
    }
  }

  template <codec_kind Kind, class T>
  void get_class(T& value) {
    if constexpr (Kind == codec_kind::empty) {
    } else if constexpr (Kind == codec_kind::optional) {
      value.reset();
      if (take<bool>()) get(value.emplace());
    } else if constexpr (Kind == codec_kind::pointer) {
      value.reset();
      if (take<bool>()) {
        value = std::make_unique<typename T::element_type>();
        get(*value);
      }
    } else if constexpr (Kind == codec_kind::variant) {
      get_variant(value, std::make_index_sequence<std::variant_size_v<T>>());
    } else if constexpr (Kind == codec_kind::tuple) {
      std::apply([this](auto&... part) { (this->get(part), ...); }, value);
    } else if constexpr (Kind == codec_kind::sequence) {
      get_sequence(value);
    } else if constexpr (Kind == codec_kind::set) {
      value.clear();
      for (std::size_t n = size(); n != 0; --n) value.emplace_hint(value.end(), take<typename T::key_type>());
    } else if constexpr (Kind == codec_kind::map) {
      value.clear();
      for (std::size_t n = size(); n != 0; --n) {
        auto key = take<typename T::key_type>();
        value.emplace_hint(value.end(), std::move(key), take<typename T::mapped_type>());
      }
    } else if constexpr (Kind == codec_kind::own || Kind == codec_kind::cereal) {
      load_own(*this, value);
    } else if constexpr (Kind == codec_kind::aggregate) {
      if constexpr (!std::is_empty_v<T>) for_each_field(value, [this](auto& field) { this->get(field); });
    } else {
      (void)check_encodable<true, T, binary_codec>();
    }
  }

  template <class T>
  void get_bulk(T& value) {
    using E = typename T::value_type;
    const std::size_t count = size();
    if (count > left() / sizeof(E)) too_short(count);
    if constexpr (requires { value.reserve(count), value.capacity(); }) {
      if (value.capacity() < count) {
        value.clear();
        value.reserve(count);
        advise_huge_pages(value.data(), count * sizeof(E));
      }
    }  // NOLINTNEXTLINE(bugprone-suspicious-stringview-data-usage): only whether there is such a function
    if constexpr (requires { value.assign(std::string_view().data(), count); } && sizeof(E) == 1) {
      value.assign(in_.data() + at_, count);  // not filled with zeros first
      at_ += count;
    } else {
      value.resize(count);
      raw(value.data(), count * sizeof(E));
    }
  }

  template <class T>
  void get_sequence(T& value) {
    using E = typename T::value_type;
    if constexpr (is_bulk<E> && requires { value.data(); }) {
      get_bulk(value);
    } else {
      std::size_t count = size();
      if constexpr (has_memory<E> && requires { value.resize(count); }) {
        if (value.size() > count) value.resize(count);
        for (E& old : value) get(old);  // keeps its memory
        count -= value.size();
      } else {
        value.clear();
      }
      const std::size_t affordable = left() / sizeof(E) + 1;
      // A false count costs no more memory than the input itself; beyond that the vector grows with what is really
      // read.
      if constexpr (requires { value.reserve(count); }) {
        value.reserve(value.size() + (count < affordable ? count : affordable));
      }
      for (; count != 0; --count) {
        if constexpr (has_memory<E>) {
          value.push_back(E());
          get(value.back());
        } else {
          value.push_back(take<E>());
        }
      }
    }
  }

  template <class T, std::size_t... I>
  void get_variant(T& value, std::index_sequence<I...>) {
    const std::size_t index = variant_index(sizeof...(I));
    (void)((index == I && (get(value.template emplace<I>()), true)) || ...);
  }

  template <class V>
  void get_wrapper(cereal::NameValuePair<V>& pair) {
    get(pair.value);
  }
  template <class V>
  void get_wrapper(cereal::SizeTag<V>& tag) {
    tag.size = static_cast<std::remove_reference_t<decltype(tag.size)>>(size());
  }
  template <class V>
  void get_wrapper(cereal::BinaryData<V>& block) {
    raw(block.data, static_cast<std::size_t>(block.size));
  }
  template <class K, class V>
  void get_wrapper(cereal::MapItem<K, V>& item) {
    get(item.key);
    get(item.value);
  }
  template <class B>
  void get_wrapper(cereal::base_class<B>& base) {
    get(*base.base_ptr);
  }
  template <class B>
  void get_wrapper(cereal::virtual_base_class<B>& base) {
    get(*base.base_ptr);
  }
};

}  // namespace detail

}  // namespace tutti
