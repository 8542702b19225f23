# SPDX-License-Identifier: Apache-2.0
"""What testpmd answers to a line.

testpmd writes the echo of a line, and its prompt, with one system call for each
character.  A log line of another thread may fall between any two of them, so
neither can be looked for.  Each question is therefore followed by another one,
for a port that cannot be, whose answer has a number of its own and leaves
testpmd in one system call.
"""
from .procs import Late, wait_until

FIRST, LAST = 40000, 60000


class Talk:
    """For a class with `text`, all that was printed; `type(words)`; and
    `name`."""
    _number = FIRST

    def ended(self):
        """Whether no answer can come any more."""
        return False

    def said(self, line, seconds=20, interval=0.05):
        """Type a line; returns what was printed up to the end of its answer,
        the echo included, which may have log lines inside."""
        number = self._number
        self._number = number + 1 if number < LAST else FIRST
        end = f"Invalid port {number}"
        before = len(self.text)
        assert not self.ended(), f"{self.name} ended: {self.text[-3000:]}"
        self.type(f"{line}\nshow port info {number}\n")
        try:
            wait_until(lambda: end in self.text[before:] or self.ended(),
                       seconds, f"{self.name} answers {line!r}", interval)
        except Late as late:
            raise Late(f"{late}; it says: {self.text[-3000:]}") from late
        answer, found, _ = self.text[before:].partition(end)
        assert found, f"{self.name} ended: {self.text[-3000:]}"
        return answer.replace("\r", "")
