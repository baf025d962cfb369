"""Tests of scripts/check_doc_slices.py."""
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "scripts"))
import check_doc_slices  # noqa: E402

EXAMPLE = """// first: an example.
int main() {
  if (true) {
    first();

    second(1);  // why
  }
}
"""


class DocSlices(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.root = pathlib.Path(self.folder.name)
        self.write("examples/first.cpp", EXAMPLE)
        self.write("tutti/core/future_test.cpp", "TEST(future, get) {\n  f.get();\n}\n")
        self.write("tutti/core/future.cpp", "library_code();\n")

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def check(self, markdown, *expected, page="README.md"):
        self.write(page, markdown)
        found = check_doc_slices.violations(self.root)
        self.assertEqual(len(found), len(expected), found)
        for sentence, part in zip(found, expected):
            self.assertIn(part, sentence)

    def test_whole_file(self):
        self.check(f"# Title\n\n```cpp\n{EXAMPLE}```\n")

    def test_slice_without_its_indentation(self):
        self.check("```cpp\nfirst();\n\nsecond(1);  // why\n```\n")

    def test_slice_keeps_relative_indentation(self):
        self.check("```cpp\nif (true) {\n  first();\n```\n")
        self.check("```cpp\nif (true) {\n      first();\n```\n", "README.md:1: this code is in no example")

    def test_tests_count(self):
        self.check("```c++\n  f.get();\n```\n", page="docs/deep/core.md")

    def test_library_sources_do_not_count(self):
        self.check("```cpp\nlibrary_code();\n```\n", "docs/core.md:1", page="docs/core.md")

    def test_changed_code(self):
        self.check("text\n\n```cpp\nsecond(2);  // why\n```\n", "README.md:3: this code is in no example")

    def test_gap(self):
        self.check("```cpp\nfirst();\nsecond(1);  // why\n```\n", "it begins: first();")

    def test_other_languages_are_free(self):
        self.check("```sh\nmake demo\n```\n```\nanything\n```\n```json\n{}\n```\n")

    def test_several_blocks_and_attributes(self):
        self.check("```cpp {.wide}\nfirst();\n```\n~~~CPP\nwrong();\n~~~\n", "README.md:4")

    def test_block_in_a_list(self):
        self.check("- item\n\n  ```cpp\n  first();\n\n  second(1);  // why\n  ```\n")

    def test_block_in_a_quotation(self):
        self.check("> ```cpp\n> first();\n> ```\n")

    def test_longer_fence_shows_a_fence(self):
        self.check("````md\n```cpp\nwrong();\n```\n````\n")

    def test_empty_and_unclosed(self):
        self.check("```cpp\n\n```\n", "empty code block")
        self.check("```cpp\nfirst();\n", "never closed")


if __name__ == "__main__":
    unittest.main()
