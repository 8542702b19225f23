# SPDX-License-Identifier: Apache-2.0
"""The sentences that the source can say, and those that the manual explains.

    doc/messages.py            sentences of the source that are not explained

A sentence of the source is a string constant, adjacent ones joined; what
printf() or a macro puts into it stands for anything.  A sentence of the manual
is the first cell of a table row in doc/troubleshooting.md if that is nothing
but `code`; capitals and dots in it stand for what is put in.
"""
import re
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
MANUAL = TOP / "doc" / "troubleshooting.md"
FOLDERS = ("protocol", "guest-pmd", "vhostpci-netdev", "qemu-patches/vhost-pci")
ANY = "\0"

# Who says something to a user.
SPEAKERS = re.compile(r"\b(VLOG_\w+|error_setg|warn_report\w*|vhost_pci_warn|virtio_error"
                      r"|VHOSTPCI_LOG|VHOSTPCI_PEER_LOG|vu_fail|vu_core_set_error|xasprintf"
                      r"|qemu_log_mask|vhost_pci_server_warn|vhost_pci_session_violation"
                      r"|disconnect)\s*\(")
COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.S)
STRING = r'"(?:[^"\\\n]|\\.)*"'
# Strings and macros, nothing but white space between them.
JOINED = re.compile(rf"(?:[A-Z][A-Za-z0-9_]*\s+|[A-Z][A-Z_]+)?{STRING}"
                    rf"(?:\s*(?:{STRING}|[A-Z][A-Za-z0-9_]*))*")
CONVERSION = re.compile(r"%[-+ #0]*(?:\*|\d+)?(?:\.(?:\*|\d+))?"
                        r"(?:hh|h|ll|l|z|j|t)?[diouxXcsp]"
                        r"|%[-+ #0]*\d*" + ANY)
ESCAPES = {r"\n": "", r"\"": '"', r"\\": "\\", r"\t": " "}


def join(text):
    """One sentence; ANY for each thing put in."""
    out = ""
    for token in re.findall(rf"{STRING}|[A-Z]\w*", text):
        out += token[1:-1] if token[0] == '"' else ANY
    for escape, plain in ESCAPES.items():
        out = out.replace(escape, plain)
    out = CONVERSION.sub(ANY, out).replace("%%", "%").replace("0x" + ANY, ANY)
    return re.sub(rf"{ANY}(?:\.?{ANY})+", ANY, out).strip()


def sources():
    for folder in FOLDERS:
        yield from sorted((TOP / folder).rglob("*.[ch]"))


def sentences(path):
    """All sentences of a file."""
    text = COMMENT.sub(" ", path.read_text())
    for match in JOINED.finditer(text):
        sentence = join(match.group())
        if " " in sentence.replace(ANY, ""):
            yield sentence


def said(path):
    """The sentences of a file that a user can get to see."""
    text = COMMENT.sub(" ", path.read_text())
    for call in SPEAKERS.finditer(text):
        depth, end = 1, call.end()
        while depth and end < len(text):
            string = re.match(STRING, text[end:])
            if string:
                end += string.end()
                continue
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            end += 1
        for match in JOINED.finditer(text[call.end():end]):
            sentence = join(match.group())
            if (len(re.findall("[a-z]{2,}", sentence)) >= 3
                    and not sentence.startswith("/")):
                yield sentence
    yield from rules(path)


def rule_table(text):
    """[(name, sentence)] of the driver's table of rules, if text holds it."""
    table = re.search(r"rules\[VHOSTPCI_N_RULES\] = {(.*?)^};", text,
                      re.S | re.M)
    found = re.findall(rf'{{\s*"(\w+)",\s*({STRING})\s*}}',
                       table.group(1) if table else "")
    return [(name, said[1:-1]) for name, said in found if len(said) > 2]


def rules(path):
    """The sentences of the table of rules, in the file that holds it."""
    yield from (said for _, said in rule_table(path.read_text()))


def bare(sentence):
    """Without what merely names a port, a device or a peer at the start."""
    name = f"(?:{ANY}|[A-Z]+)"
    device = rf"(?:vhost-pci-net|{ANY})(?:-pci)?"  # the device's type says it
    return re.sub(rf"^(net_vpci: |{device} \(peer {name}\): |{device}: "
                  rf"|vhost-pci-server: |vhost-pci-server {name}: "
                  rf"|peer {name}: |{name}: )+", "", sentence)


def pattern(sentence):
    parts = [re.escape(p) for p in bare(sentence).split(ANY)]
    return re.compile("(?:.*)".join(parts) + r"\.?")


def explained():
    """(line number, sentence) of the manual."""
    for number, line in enumerate(MANUAL.read_text().splitlines(), 1):
        cell = re.match(r"\|\s*`([^`]+)`\s*\|", line)
        if cell:
            yield number, bare(cell.group(1))


def fixed(sentence):
    """How much of a sentence of the source does not vary."""
    return len(bare(sentence).replace(ANY, ""))


def unknown():
    """Sentences of the manual that the source does not have."""
    have = [(pattern(s), fixed(s)) for f in sources()
            for s in (*sentences(f), *rules(f))]
    # Something like "device ...: ..." would match nearly everything.
    return [(number, text) for number, text in explained()
            if not any(size * 2 >= len(text) - 20 and p.fullmatch(text)
                       for p, size in have)]


def unexplained():
    """(file, sentence) that the manual lacks."""
    texts = [s for _, s in explained()]
    seen = set()
    for path in sources():
        for sentence in said(path):
            if sentence not in seen and not any(
                    pattern(sentence).fullmatch(t) for t in texts):
                seen.add(sentence)
                yield path.relative_to(TOP), sentence.replace(ANY, "...")


if __name__ == "__main__":
    missing = list(unexplained())
    print("\n".join(f"{path}: {sentence}" for path, sentence in missing))
    sys.exit(1 if missing else 0)
