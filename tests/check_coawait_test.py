"""Tests of scripts/check_coawait.py."""
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "scripts"))
import check_coawait  # noqa: E402


class CoAwait(unittest.TestCase):
    def rejected(self, code, *expected):
        found = check_coawait.problems(code)
        self.assertEqual(len(found), len(expected), found)
        for (_, sentence), part in zip(found, expected):
            self.assertIn(part, sentence)

    def fine(self, code):
        self.rejected(code)

    def test_by_value_capture(self):
        self.rejected("co_await pool.submit([s] { use(s); });", "captures `s` by value")
        self.rejected("int x = co_await pool.submit([=] { use(s); });", "captures `=`")
        self.rejected("co_return co_await f([&, t = std::move(s)]() -> int { return t; });", "captures `t = std :: move")
        self.rejected("co_await f([*this] { go(); });", "captures `* this`")
        self.rejected("co_await f([...args] { go(args...); });", "captures `. . . args`")
        self.rejected("co_await f([s, &t] {});", "captures `s`")

    def test_by_reference_is_safe(self):
        self.fine("co_await pool.submit([&] { use(s); });")
        self.fine("co_await pool.submit([&s, this, &t = u]() mutable noexcept -> int { return s; });")
        self.fine("co_await pool.submit([] { use(1); });")

    def test_named_first(self):
        self.fine("auto f = pool.submit([s] { use(s); }); co_await std::move(f);")
        self.fine("task<> g() { auto f = [s] { use(s); };\n co_await h(f); }")

    def test_braced_temporary(self):
        self.rejected('co_await send(order{1, "x"});', "braced temporary `order{...}`")
        self.rejected('co_await send({1, "x"});', "braced temporary `{...}`")
        self.rejected("co_await awaiter{s};", "braced temporary `awaiter{...}`")
        self.rejected("co_await send(std::vector<int>{1, 2});", "braced temporary")

    def test_trivial_braces_are_fine(self):
        self.fine('co_await pool.with({.name = "x", .retries = 3}).submit<f>(1);')
        self.fine("co_await pool.with(tutti::call_options{.priority = 1}).submit<f>(1);")
        self.fine("co_await sleep_for(std::chrono::milliseconds{5});")

    def test_before_the_co_await(self):
        self.rejected("f([s] { use(s); }, co_await g());", "captures `s`")
        self.rejected("f(order{1}, co_await g());", "braced temporary `order")

    def test_statements_before_and_after_do_not_count(self):
        self.fine("order o{1}; co_await send(o); order p{2};")
        self.fine("if (x) { f([s] {}); } co_await g();")
        self.fine("if (ok(order{1})) co_await g();")
        self.fine("for (order o{1}; o; ) { co_await g(); }")
        self.fine("if (co_await ready()) { auto f = [s] {}; order o{1}; }")
        self.fine("struct a { int x{1}; }; task<> f() { co_await g(); }")
        self.fine("switch (x) { case 1: co_await g(); }")

    def test_coroutine_lambda_is_no_temporary_of_its_own_awaits(self):
        self.fine("auto f = [s]() -> task<> { co_await g(s); };")
        self.fine("co_await run([&](group& g) -> task<> { order o{1}; g.spawn([s] {}); co_await g.join(); });")
        self.rejected("co_await run([&](group& g) -> task<> { co_await g.spawn([s] {}); });", "captures `s`")

    def test_subscripts_and_attributes_are_no_lambdas(self):
        self.fine("co_await f(a[i], b()[j], c[d[k]]);")
        self.fine("[[maybe_unused]] auto x = co_await f(a[b[0]]);")
        self.rejected("co_await f(a[ [s] { return s; }()]);", "captures `s`")

    def test_co_yield(self):
        self.rejected('co_yield order{1, "x"};', "braced temporary `order{...}`")
        self.rejected('co_yield {1, "x"};', "braced temporary `{...}`")
        self.rejected("co_yield callback([s] { use(s); });", "captures `s`")
        self.fine('order o{1, "x"}; co_yield std::move(o);')
        self.fine("auto f = [s]() -> generator<int> { for (int i = 0; i < s; ++i) co_yield i; };")
        self.fine("while (true) co_yield std::exchange(a, b);")

    def test_text_is_not_code(self):
        self.fine('co_await f("[s] {", \'{\', R"x([s] { )" )x"); // [s] { order{1} }')
        self.fine("// co_await f([s] {});\n/* co_await f(order{1}); */")

    def test_line_numbers_and_excuse(self):
        self.assertEqual(check_coawait.problems("int a;\n\nco_await f(\n    [s] {});")[0][0], 4)
        self.fine("co_await f([n] {});  // coawait-ok: n is an int")

    def test_template_lambda(self):
        self.rejected("co_await f([s]<class T>(T t) { return order{t}; });", "captures `s`")
        self.fine("co_await f([&]<class T>(T t) { return order{t}; });")

    def test_the_operator_is_no_expression(self):
        self.fine("auto operator co_await() const { return awaiter{s}; }")

    def test_ternary(self):
        self.rejected("x = ok ? co_await f([s] {}) : 0;", "`?:` with a call", "captures `s`")
        self.rejected("x = ok ? order{1} : co_await g();", "`?:` with a call", "braced temporary `order")

    def test_ternary_that_makes_something(self):
        self.rejected("co_await (x ? f() : g());", "`?:` with a call")
        self.rejected('co_await send(x ? std::string("a") : name);', "`?:` with a call")
        self.rejected('auto s = co_await ok() ? list<int>(1) : list<int>(2);', "`?:` with a call")
        self.rejected("auto s = x ? co_await f() : co_await g();", "`?:` with a call")
        self.fine("auto t = x ? f() : g(); co_await std::move(t);")
        self.fine("co_return co_await next() == 0 ? a : b.c;")
        self.fine("co_await f(x ? 1 : -(2 + y[3]));")
        self.fine("co_await run([&] { return x ? f() : g(); });")

    def test_condition_without_a_variable(self):
        for head in ("if (co_await f())", "while (co_await f() == 1)", "for (; co_await f();)", "switch (co_await f())",
                     "if (x && !co_await f(1))", "if (x) while (co_await f())"):
            self.rejected("task<> g(int x) { use(x); " + head + " { x = 1; } co_return; }", "without local variables")
            self.fine("task<> g(int x) { const ns::list<int>& v = h(x); " + head + " { x = 1; } }")
            self.fine("task<> g(int x) { " + head + " { order o; } }")
        self.rejected("task<> g() { try { if (co_await f()) h(); } catch (const error& e) {} }", "without local variables")
        self.rejected("auto g = [&]() -> task<> { do h(); while (co_await f()); };", "without local variables")
        self.rejected("task<> g() { if (co_await f()) h([] { int x = 1; }); }", "without local variables")
        self.rejected("int k = 1; task<> g() { if (co_await f()) h(); }", "without local variables")

    def test_condition_that_declares(self):
        self.fine("task<> g() { if (auto x = co_await f()) h(); }")
        self.fine("task<> g() { if (const int x = co_await f(); x == 1) h(); }")
        self.fine("task<> g() { while (std::optional<int> x = co_await f()) h(); }")
        self.fine("task<> g() { for (int i = 0; co_await f();) h(); }")
        self.fine("task<> g() { for (int x : co_await f()) h(x); }")
        self.fine("task<> g() { auto [a, b] = h(); if (co_await f()) h(); }")

    def test_files_and_folders(self):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for name in ("a.cpp", "src/deep/b.cc", "include/c.h", "build/d.cpp", "build-asan/e.cpp", ".cache/f.cpp", "g.txt"):
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_text("")
            self.assertEqual(list(check_coawait.files([folder])), [root / "a.cpp", root / "include/c.h", root / "src/deep/b.cc"])
            self.assertEqual(list(check_coawait.files([str(root / "g.txt")])), [root / "g.txt"])
            with self.assertRaises(SystemExit):
                list(check_coawait.files([str(root / "missing")]))


if __name__ == "__main__":
    unittest.main()
