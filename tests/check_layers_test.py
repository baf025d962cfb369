"""Tests of scripts/check_layers.py: plants violations and expects each to be found."""
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "scripts"))
import check_layers  # noqa: E402

LISTS = {
    "base": "tutti_module(base LINK_PUBLIC Boost::headers)",
    "core": "tutti_module(core DEPENDS base LINK_PUBLIC x)",
    "parallel": "tutti_module(parallel DEPENDS core)",
    "task": "tutti_module(task DEPENDS core)",
    "channel": "tutti_module(channel\n  DEPENDS task\n  TEST_LINK parallel)",
    "data": "tutti_module(data DEPENDS channel)",
}


class Layers(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.root = pathlib.Path(self.folder.name)
        for module, lists in LISTS.items():
            self.write(f"tutti/{module}/CMakeLists.txt", lists)
            self.write(f"tutti/{module}/{module}.hpp", "#pragma once\n#include <vector>\n")

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def check(self, name, text, *expected):
        self.write(name, text)
        found = check_layers.violations(self.root)
        self.assertEqual(len(found), len(expected), found)
        for sentence, part in zip(found, expected):
            self.assertIn(part, sentence)

    def test_downwards_is_fine(self):
        self.check("tutti/channel/a.hpp", "#include <tutti/core/core.hpp>\n#include <tutti/channel/channel.hpp>\n")

    def test_upwards(self):
        self.check("tutti/base/a.hpp", "// a\n#include <tutti/core/core.hpp>\n",
                   "tutti/base/a.hpp:2: base includes <tutti/core/core.hpp>, but core is not below it")

    def test_siblings(self):
        self.check("tutti/task/a.cpp", "#  include <tutti/parallel/parallel.hpp>\n", "stands beside it")

    def test_tests_obey_too(self):
        self.check("tutti/core/a_test.cpp", "#include <tutti/task/task.hpp>\n", "is not below it")

    def test_subfolders_belong_to_their_module(self):
        self.check("tutti/core/deep/a.hpp", "#include <tutti/task/task.hpp>\n", "is not below it")

    def test_undeclared_dependency(self):
        self.check("tutti/channel/a.hpp", "#include <tutti/parallel/parallel.hpp>\n", "does not DEPEND on parallel")

    def test_all_of_tutti(self):
        self.check("tutti/core/a.hpp", "#include <tutti/tutti.hpp>\n", "includes every module")

    def test_quotes(self):
        self.check("tutti/core/a.hpp", '#include "core.hpp"\n', "write project headers as <tutti/...>")

    def test_unknown_module(self):
        self.check("tutti/odd/a.hpp", "", "tutti/odd: no layer")

    def test_concrete_pool(self):
        self.check("tutti/data/a.hpp", "#include <tutti/core/executor.hpp>\n#include <tutti/core/thread_pool.hpp>\n",
                   "names a concrete pool")

    def test_heavy_headers(self):
        heavy = ["boost/asio.hpp", "boost/asio/ip/tcp.hpp", "boost/beast/core.hpp", "boost/json.hpp", "mpi.h",
                 "sqlite3.h", "hiredis/hiredis.h", "CL/cl.h", "spdlog/spdlog.h"]
        text = "".join(f"#include <{name}>\n" for name in heavy)
        self.check("tutti/core/a.hpp", text, *(f"<{name}> in a header" for name in heavy))

    def test_heavy_is_fine_in_sources(self):
        self.check("tutti/core/a.cpp", "#include <boost/asio.hpp>\n#include <mpi.h>\n")

    def test_headers_inside_are_for_sources(self):
        self.check("tutti/core/inside/deep/a.hpp", "#include <mpi.h>\n#include <tutti/core/inside/b.hpp>\n")
        self.check("tutti/core/a.hpp", "#include <tutti/core/inside/b.hpp>\n", "what is in inside/ is for .cpp files")

    def test_inline_functions_in_sources(self):
        expected = "tutti/core/a.cpp:2: an inline function in a .cpp file"
        self.check("tutti/core/a.cpp", "// a\ninline bool pool::put(int a) {}\n", expected)
        self.check("tutti/core/a.cpp", "// a\n  inline int f(\n    int a) {}\n", expected)
        self.check("tutti/core/a.cpp", "// a\nconstexpr inline int f() {}\n", expected)

    def test_inline_is_fine_elsewhere(self):
        self.check("tutti/core/a.cpp", "inline namespace v2 {}\nstatic inline int n = f();\nint inline_f();\n")
        self.check("tutti/core/a.hpp", "inline int f() {}\n")
        self.check("tutti/core/a_test.cpp", "inline int f() {}\n")

    def test_light_boost_is_fine(self):
        self.check("tutti/core/a.hpp", "#include <boost/pfr.hpp>\n#include <boost/describe.hpp>\n")


if __name__ == "__main__":
    unittest.main()
