# SPDX-License-Identifier: Apache-2.0
"""The documentation against the source: what it names has to exist."""
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
import messages  # noqa: E402

TOP = messages.TOP
DOC = TOP / "doc"
PAGES = sorted([*DOC.glob("*.md"), *TOP.glob("*.md")])
MANUALS = sorted(DOC.glob("man/*.[0-9]"))
DEVICE = TOP / "qemu-patches" / "vhost-pci"


def bad(things):
    return "\n".join(map(str, things))


def test_sentences_in_troubleshooting_occur_in_the_source():
    assert len(list(messages.explained())) > 100
    wrong = messages.unknown()
    assert not wrong, "not said by any source:\n" + bad(
        f"troubleshooting.md:{line}: {text}" for line, text in wrong)


def test_sentences_of_the_source_are_explained():
    wrong = list(messages.unexplained())
    assert not wrong, "not in troubleshooting.md:\n" + bad(wrong)


def anchor(heading):
    """As GitHub makes it."""
    text = re.sub(r"[^\w\- ]", "", heading.strip().lower())
    return text.replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page):
    wrong = []
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in link:
            continue
        name, _, part = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        headings = (map(anchor, re.findall(r"^#+ (.*)$", target.read_text(),
                                           re.M))
                    if part and target.is_file() else ())
        if not target.exists() or part and part not in headings:
            wrong.append(link)
    assert not wrong, bad(wrong)


def test_pictures_are_those_of_the_text():
    done = subprocess.run([sys.executable, DOC / "pictures.py", "--check"],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", MANUALS, ids=lambda p: p.name)
def test_manual_page_formats_without_warnings(page):
    if not shutil.which("man"):
        pytest.skip("man is not installed (Debian package man-db)")
    done = subprocess.run(
        ["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", page],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "LC_ALL": "C.UTF-8"}, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def words_in(page):
    text = (DOC / page).read_text().replace("\\-", "-")
    return set(re.findall(r"[a-z][\w-]*", text))


def test_every_property_of_the_device_is_in_its_manual():
    source = "".join(p.read_text() for p in DEVICE.glob("*.c"))
    names = re.findall(r'DEFINE_PROP_(?!BIT64)\w+\("([\w-]+)"', source)
    names += ["peer-" + n for n in re.findall(
        r'(?:PEER_BIT|VHOST_PCI_SHOW)\("([\w-]+)"', source)]
    assert len(names) > 20
    missing = (set(names) - words_in("man/vhost-pci-net-pci.7")
               - words_in("man/vhost-pci-server.7") - {"ioeventfd"})
    assert not missing, bad(missing)


def test_every_feature_offered_is_in_the_list_of_its_default():
    """On and off as in the source."""
    source = "".join(p.read_text() for p in DEVICE.glob("*.c"))
    text = (DOC / "man/vhost-pci-net-pci.7").read_text()
    on, off = text.split("On by default:")[1].split("Off by default")
    bits = re.findall(r'PEER_BIT\("([\w-]+)", (\w+), (\w+)\)', source)
    assert len(bits) > 20
    for name, _, default in bits:
        where = on if default == "true" else off.split(".SS")[0]
        assert re.search(rf"peer-{name} [,.]", where), (name, default)


def test_every_status_key_is_in_the_guide_and_the_manual():
    source = (TOP / "vhostpci-netdev" / "netdev-vhostpci-show.c").read_text()
    keys = set(re.findall(r'smap_add\w*\(status, "([\w-]+)"', source))
    assert len(keys) > 10
    for page in ("user-guide.md", "man/ovs-vhostpci.7"):
        assert not keys - words_in(page), page


def test_every_statistic_is_in_the_drivers_manual():
    source = "".join(p.read_text() for p in messages.sources()
                     if TOP / "guest-pmd" in p.parents)
    fields = re.findall(r"FIELD\((\w+), ", source)
    single = re.findall(r'add\(c, [^"]*"([a-z_]+)"\)', source)
    rules = [name for name, _ in messages.rule_table(source)]
    assert len(fields) > 5 and single and len(rules) > 10
    text = (DOC / "man/net_vpci.7").read_text()
    missing = [n for n in (*single, *rules) if n not in text]
    missing += [f for f in fields if f"_{f}" not in text]
    assert not missing, bad(missing)


def test_every_command_of_the_debian_guest_is_run():
    """By its test, but for those that make and install the packages."""
    page = (DOC / "debian-guest.md").read_text()
    names = re.findall(r"^```sh ?(.*)$", page, re.M)
    assert len(names) > 10 and all(names)
    vm = TOP / "tests" / "vm"
    test = "".join((vm / name).read_text() for name in
                   ("test_debian_guest.py", "harness/debian.py"))
    missing = [n for n in set(names) - {"host"} if f'"{n}"' not in test
               and not (n.startswith("peer-") and '"peer-"' in test)]
    assert not missing, missing


def test_huge_pages_are_one_formula_everywhere():
    """Each port's, and the rest; the guest's test compares it with a guest."""
    text = (TOP / "guest/sysctl.d/60-vhost-pci.conf").read_text()
    each, ports, rest, total = map(int, re.search(
        r": (\d+) for each\n# vhostpci port .* here (\d+) ports, and (\d+) for"
        r" .*^vm.nr_hugepages = (\d+)$", text, re.M | re.S).groups())
    assert total == ports * each + rest
    guide = (DOC / "user-guide.md").read_text()
    assert f"> {each} pages for each port of one queue, and {rest} for" in guide
    assert f"Two ports fit in {2 * each + rest} pages" in guide
    assert f"vm.nr_hugepages={2 * each + rest} >" in guide
    page = (DOC / "debian-guest.md").read_text()
    assert f"for four ports: {each} for each" in page and ports == 4
    assert f"and {rest} for Open vSwitch itself" in page
    assert f"vm.nr_hugepages = {5 * each + rest}/" in page


def test_every_need_of_open_vswitch_has_tests_that_exist():
    """The table of testing.md: numbered, none empty, each name a test's."""
    rows = re.findall(r"^\| (\d+) \| .* \| (.*) \|$",
                      (DOC / "testing.md").read_text(), re.M)
    assert [int(number) for number, _ in rows] == list(range(1, 16))
    tests = TOP / "tests" / "native"
    defined = {name for path in tests.glob("test_*.py") for name in
               re.findall(r"^def (test_\w+)\(", path.read_text(), re.M)}
    for path in tests.glob("test_*.c"):
        text = path.read_text()
        functions = re.findall(r"^(\w+)\(void \*\*state\)$", text, re.M)
        # A function that main() does not list never runs.
        defined |= {name for name in functions
                    if re.search(rf"\(\s*{name}[,)]", text)}
    defined |= {path.name for path in tests.glob("test_*.sh")}
    for number, text in rows:
        names = re.findall(r"`([\w.]+)`", text)
        assert names, number
        assert set(names) <= defined, (number, set(names) - defined)


# The tables of device-spec.md that begin with an offset, in their order.
STRUCTURES = ("config", "function_config", "hdr", "state", "region",
              "function", "ring", "broken")
SIZES = {"u8": 1, "u16": 2, "u32": 4, "u64": 8, "char": 1, "header": 16,
         "region": 32, "function": 56, "function_config": 16, "ring": 48}


def specified():
    """[(structure, [(offset, type, count, field or "")])]"""
    tables, rows = [], []
    for line in (DOC / "device-spec.md").read_text().splitlines() + [""]:
        row = re.match(r"\| (\d+) \| ([a-z]\w*)(?:\[(\d+)\])? \| "
                       r"(?:`(\w+)`)?", line)
        if row and row.group(2) in SIZES:
            rows.append((int(row.group(1)), row.group(2),
                         int(row.group(3) or 1), row.group(4) or ""))
        elif rows:
            tables.append(rows)
            rows = []
    assert len(tables) == len(STRUCTURES)
    return list(zip(STRUCTURES, tables))


def test_offsets_in_the_specification_have_no_gaps():
    for name, rows in specified():
        offset = 0
        for at, kind, count, field in rows:
            assert at == offset, (name, field)
            offset += SIZES[kind] * count


def test_specification_agrees_with_the_header(tmp_path):
    compiler = shutil.which("cc") or shutil.which("gcc")
    if not compiler:
        pytest.skip("no C compiler")
    checks = ['#include "vhost_pci.h"']
    for name, rows in specified():
        struct = "struct vhost_pci_" + name
        last, kind, count, _ = rows[-1]
        checks.append(f"static_assert(sizeof({struct}) == "
                      f"{last + SIZES[kind] * count}, \"{name}\");")
        checks += [f"static_assert(offsetof({struct}, {field}) == {at}, "
                   f"\"{name}.{field}\");" for at, _, _, field in rows
                   if field]
    source = tmp_path / "check.c"
    source.write_text("\n".join(checks) + "\n")
    done = subprocess.run(
        [compiler, "-fsyntax-only", f"-I{TOP / 'protocol'}", source],
        stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
