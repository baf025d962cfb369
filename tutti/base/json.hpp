// json: values to JSON and back, for the same types as the binary codec.
#pragma once
#include <tutti/base/codec_traits.hpp>
#include <tutti/base/json_text.hpp>

#include <boost/describe/members.hpp>
#include <boost/describe/modifiers.hpp>
#include <boost/mp11/algorithm.hpp>
#include <limits>

namespace tutti {

namespace detail {

template <class Association>
class json_output_archive;
template <class Association>
class json_input_archive;

// A type that is JSON itself, in whatever form: it says so by these two.
template <class T>
concept json_like = requires(const T& value, std::string text) {
  requires std::same_as<std::remove_cvref_t<decltype(value.to_json())>, std::string>;
  { T::from_json(std::move(text)) } -> std::same_as<T>;
};

// All members that BOOST_DESCRIBE_STRUCT or BOOST_DESCRIBE_CLASS tells of, those of bases too.
template <class T>
using described_members =
    boost::describe::describe_members<T, boost::describe::mod_any_access | boost::describe::mod_inherited>;

struct json_codec {
  template <class Association>
  using output = json_output_archive<Association>;
  template <class Association>
  using input = json_input_archive<Association>;
  using access = cereal::access;
  template <class T>
  static constexpr bool is_described = boost::describe::has_describe_members<T>::value;

  template <class T>
  static constexpr bool is_json = json_like<T>;

  template <bool Report, class T, class... Seen>
  static consteval bool check_members() {
    return []<class... D>(boost::mp11::mp_list<D...>) {
      return (check_encodable<Report, std::remove_reference_t<decltype(std::declval<T&>().*D::pointer)>, json_codec,
                              Seen..., T>() &&
              ...);
    }(boost::mp11::mp_rename<described_members<T>, boost::mp11::mp_list>());
  }
};

// A map with names for keys is an object, any other an array of pairs.
template <class T>
concept has_text_keys = std::is_same_v<typename T::key_type, std::string>;

// Strings of char are JSON strings, strings of wider characters arrays of numbers.
template <class T>
concept is_text = std::is_same_v<typename T::value_type, char>;

template <class Association>
class json_output_archive {
 public:
  using is_saving = std::true_type;
  using is_loading = std::false_type;

  explicit json_output_archive(json_writer& out) noexcept : out_(out) {}

  template <class... T>
  json_output_archive& operator()(const T&... values) {
    (put(values), ...);
    return *this;
  }
  template <class T>
  json_output_archive& operator&(const T& value) {
    put(value);
    return *this;
  }

 private:
  template <class T>
  void put(const T& value) {
    constexpr codec_kind kind = kind_of<T, json_codec>();
    if constexpr (kind == codec_kind::boolean) {
      out_.boolean(value);
    } else if constexpr (kind == codec_kind::number) {
      if constexpr (std::is_floating_point_v<T>) {
        out_.real(static_cast<double>(value));
      } else if constexpr (std::is_signed_v<T>) {
        out_.integer(static_cast<std::int64_t>(value));
      } else {
        out_.natural(static_cast<std::uint64_t>(value));
      }
    } else if constexpr (kind == codec_kind::enumeration) {
      put(static_cast<std::underlying_type_t<T>>(value));
    } else if constexpr (kind == codec_kind::empty) {
      out_.null();
    } else if constexpr (kind == codec_kind::string && is_text<T>) {
      out_.text(value);
    } else if constexpr (kind == codec_kind::path) {
      out_.text(value.native());
    } else if constexpr (kind == codec_kind::duration) {
      put(value.count());
    } else if constexpr (kind == codec_kind::time_point) {
      put(value.time_since_epoch().count());
    } else if constexpr (kind == codec_kind::json) {
      out_.json(value.to_json());
    } else if constexpr (kind == codec_kind::optional || kind == codec_kind::pointer) {
      if (value) {
        put(*value);
      } else {
        out_.null();
      }
    } else if constexpr (kind == codec_kind::map && has_text_keys<T>) {
      out_.begin_object();
      for (const auto& [key, mapped] : value) {
        out_.key(key);
        put(mapped);
      }
      out_.end_object();
    } else if constexpr (kind == codec_kind::described) {
      out_.begin_object();
      boost::mp11::mp_for_each<described_members<T>>([&](auto member) {
        out_.key(member.name);
        this->put(value.*member.pointer);
      });
      out_.end_object();
    } else if constexpr (kind == codec_kind::wrapper) {
      put_wrapper(value);
    } else {
      out_.begin_array();
      put_elements<kind>(value);
      out_.end_array();
    }
  }

  template <codec_kind Kind, class T>
  void put_elements(const T& value) {
    if constexpr (Kind == codec_kind::variant) {
      if (value.valueless_by_exception()) throw encode_error("cannot encode a std::variant that lost its value");
      out_.natural(value.index());
      std::visit([this](const auto& chosen) { this->put(chosen); }, value);
    } else if constexpr (Kind == codec_kind::tuple) {
      std::apply([this](const auto&... part) { (this->put(part), ...); }, value);
    } else if constexpr (Kind == codec_kind::string || Kind == codec_kind::sequence || Kind == codec_kind::set) {
      for (auto&& element : value) put(static_cast<const typename T::value_type&>(element));
    } else if constexpr (Kind == codec_kind::map) {
      for (const auto& [key, mapped] : value) {
        out_.begin_array();
        put(key);
        put(mapped);
        out_.end_array();
      }
    } else if constexpr (Kind == codec_kind::own || Kind == codec_kind::cereal) {
      save_own(*this, value);
    } else if constexpr (Kind == codec_kind::aggregate) {
      if constexpr (!std::is_empty_v<T>) {
        for_each_field(value, [this](const auto& field) { this->put(field); });
      }
    } else {
      (void)check_encodable<true, T, json_codec>();
    }
  }

  template <class V>
  void put_wrapper(const cereal::NameValuePair<V>& pair) {
    put(pair.value);
  }
  template <class V>
  void put_wrapper(const cereal::SizeTag<V>& tag) {
    out_.natural(tag.size);
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

  json_writer& out_;
};

// Reads the elements of one array, in order.
template <class Association>
class json_input_archive {
 public:
  using is_saving = std::false_type;
  using is_loading = std::true_type;

  explicit json_input_archive(const json_node& array) noexcept : array_(array) {}

  template <class... T>
  json_input_archive& operator()(T&&... values) {
    (take(values), ...);
    return *this;
  }
  template <class T>
  json_input_archive& operator&(T&& value) {
    take(value);
    return *this;
  }
  // Refuses elements that nobody took.
  void finish() const { array_.require_size(next_); }

  template <class T>
  static void get(const json_node& from, T& value) {
    constexpr codec_kind kind = kind_of<T, json_codec>();
    if constexpr (kind == codec_kind::boolean) {
      value = from.boolean();
    } else if constexpr (kind == codec_kind::number) {
      using limits = std::numeric_limits<T>;
      if constexpr (std::is_floating_point_v<T>) {
        value = static_cast<T>(from.real());
      } else if constexpr (std::is_signed_v<T>) {
        value = static_cast<T>(from.integer(limits::min(), limits::max()));
      } else {
        value = static_cast<T>(from.natural(limits::max()));
      }
    } else if constexpr (kind == codec_kind::enumeration) {
      std::underlying_type_t<T> number{};
      get(from, number);
      value = static_cast<T>(number);
    } else if constexpr (kind == codec_kind::empty) {
      if (!from.is_null()) from.fail("wanted null");
    } else if constexpr (kind == codec_kind::string && is_text<T>) {
      value = T(from.text());
    } else if constexpr (kind == codec_kind::path) {
      value = T(std::string(from.text()));
    } else if constexpr (kind == codec_kind::duration) {
      typename T::rep count{};
      get(from, count);
      value = T(count);
    } else if constexpr (kind == codec_kind::time_point) {
      typename T::rep count{};
      get(from, count);
      value = T(typename T::duration(count));
    } else if constexpr (kind == codec_kind::json) {
      value = T::from_json(from.json());
    } else if constexpr (kind == codec_kind::optional) {
      value.reset();
      if (!from.is_null()) get(from, value.emplace());
    } else if constexpr (kind == codec_kind::pointer) {
      value = from.is_null() ? nullptr : std::make_unique<typename T::element_type>();
      if (value) get(from, *value);
    } else if constexpr (kind == codec_kind::map && has_text_keys<T>) {
      if (!from.is_object()) from.fail("wanted an object");
      value.clear();
      for (std::size_t i = 0; i < from.size(); ++i) {
        typename T::mapped_type mapped = typename T::mapped_type();
        get(from.at(i), mapped);
        value.emplace_hint(value.end(), std::string(from.key(i)), std::move(mapped));
      }
    } else if constexpr (kind == codec_kind::described) {
      boost::mp11::mp_for_each<described_members<T>>([&](auto member) {
        auto& field = value.*member.pointer;
        const json_node found = from.member(member.name);
        // A member that may be absent may be left out; members we do not know are the sender's business.
        if (!found.is_missing()) {
          get(found, field);
        } else if constexpr (kind_of<std::remove_reference_t<decltype(field)>, json_codec>() == codec_kind::optional) {
          field.reset();
        } else {
          from.fail("there is no member \"" + std::string(member.name) + '"');
        }
      });
    } else {
      if (!from.is_array()) from.fail("wanted an array");
      get_elements<kind>(from, value);
    }
  }

 private:
  template <class T>
  void take(T& value) {
    constexpr codec_kind kind = kind_of<T, json_codec>();
    if constexpr (kind == codec_kind::wrapper) {
      take_wrapper(value);
    } else {
      if (next_ >= array_.size()) array_.fail("the array is too short");
      const json_node element = array_.at(next_++);
      get(element, value);
    }
  }

  template <codec_kind Kind, class T>
  static void get_elements(const json_node& from, T& value) {
    if constexpr (Kind == codec_kind::variant) {
      from.require_size(2);
      get_variant(from, value, std::make_index_sequence<std::variant_size_v<T>>());
    } else if constexpr (Kind == codec_kind::tuple) {
      json_input_archive archive(from);
      std::apply([&](auto&... part) { (archive.take(part), ...); }, value);
      archive.finish();
    } else if constexpr (Kind == codec_kind::string || Kind == codec_kind::sequence) {
      value.clear();
      for (std::size_t i = 0; i < from.size(); ++i) {
        typename T::value_type element = typename T::value_type();
        get(from.at(i), element);
        value.push_back(std::move(element));
      }
    } else if constexpr (Kind == codec_kind::set) {
      value.clear();
      for (std::size_t i = 0; i < from.size(); ++i) {
        typename T::key_type key = typename T::key_type();
        get(from.at(i), key);
        value.emplace_hint(value.end(), std::move(key));
      }
    } else if constexpr (Kind == codec_kind::map) {
      value.clear();
      for (std::size_t i = 0; i < from.size(); ++i) {
        std::pair<typename T::key_type, typename T::mapped_type> item;
        get(from.at(i), item);
        value.emplace_hint(value.end(), std::move(item.first), std::move(item.second));
      }
    } else if constexpr (Kind == codec_kind::own || Kind == codec_kind::cereal) {
      json_input_archive archive(from);
      load_own(archive, value);
      archive.finish();
    } else if constexpr (Kind == codec_kind::aggregate) {
      json_input_archive archive(from);
      if constexpr (!std::is_empty_v<T>) {
        for_each_field(value, [&](auto& field) { archive.take(field); });
      }
      archive.finish();
    } else {
      (void)check_encodable<true, T, json_codec>();
    }
  }

  template <class T, std::size_t... I>
  static void get_variant(const json_node& from, T& value, std::index_sequence<I...>) {
    const auto index = from.at(0).natural(sizeof...(I) - 1);
    const json_node chosen = from.at(1);
    (void)((index == I && (get(chosen, value.template emplace<I>()), true)) || ...);
  }

  template <class V>
  void take_wrapper(cereal::NameValuePair<V>& pair) {
    take(pair.value);
  }
  template <class V>
  void take_wrapper(cereal::SizeTag<V>& tag) {
    // What a size counts follows in the same array.
    if (next_ >= array_.size()) array_.fail("the array is too short");
    const json_node element = array_.at(next_++);
    tag.size = static_cast<std::remove_reference_t<decltype(tag.size)>>(element.natural(array_.size()));
  }
  template <class K, class V>
  void take_wrapper(cereal::MapItem<K, V>& item) {
    take(item.key);
    take(item.value);
  }
  template <class B>
  void take_wrapper(cereal::base_class<B>& base) {
    take(*base.base_ptr);
  }
  template <class B>
  void take_wrapper(cereal::virtual_base_class<B>& base) {
    take(*base.base_ptr);
  }

  const json_node& array_;
  std::size_t next_ = 0;
};

}  // namespace detail

/// Types that encode_json and decode_json take: the encodable ones, and those that BOOST_DESCRIBE_STRUCT describes.
template <class T>
concept json_encodable = detail::check_encodable<false, T, detail::json_codec>();

/// `value` as JSON. Aggregates are arrays by position, or objects when BOOST_DESCRIBE_STRUCT names their members; maps
/// with std::string keys are objects, other maps arrays of pairs; absent optionals are null; a variant is [index,
/// value]; durations are their count; a type with its own serialize is the array of what it gives. A type that has
/// `std::string to_json() const` and `static T from_json(std::string)` is what these say. Throws encode_error for text
/// that is not UTF-8, numbers that are not finite, nesting beyond 64 levels, and a to_json() that is no JSON.
template <class T>
[[nodiscard]] std::string encode_json(const T& value) {
  (void)detail::check_encodable<true, T, detail::json_codec>();
  std::string out;
  json_writer writer(out);
  detail::json_output_archive<cereal::access> archive(writer);
  archive(value);
  return out;
}

/// The value that `text` is. Throws decode_error that names the place in the text or the value ("$[2].name").
template <class T>
[[nodiscard]] T decode_json(std::string_view text) {
  (void)detail::check_encodable<true, T, detail::json_codec>();
  const json_document document(text);
  const json_node root = document.root();
  T value = T();
  detail::json_input_archive<cereal::access>::get(root, value);
  return value;
}

}  // namespace tutti
