# SPDX-License-Identifier: Apache-2.0
"""Finds testpmd's answer to a typed line.

testpmd writes the echo of a line, and its prompt, with one system call for each
character.  A log line of another thread may stand between any two characters,
so a search for echo or prompt could fail.  Therefore a second question follows
each question, for a port that cannot exist.  testpmd writes the answer to the
second question with one system call, and the answer contains a number that is
used only once.
"""
from .procs import Late, wait_until

FIRST, LAST = 40000, 60000


class Talk:
    """For a class that has `text`, everything that testpmd has printed;
    `type(words)`, which types words; and `name`, for error messages."""
    _number = FIRST

    def ended(self):
        """True if testpmd has ended, so that no answer can come any more."""
        return False

    def where(self):
        """What testpmd does when no answer comes."""
        return ""

    def said(self, line, seconds=20, interval=0.05):
        """Type a line.  Returns all that testpmd printed until the end of the
        answer: echo, answer, and log lines between or within them."""
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
            raise Late(f"{late}; it says: {self.text[-3000:]}\n"
                       f"{self.where()}") from late
        answer, found, _ = self.text[before:].partition(end)
        assert found, f"{self.name} ended: {self.text[-3000:]}"
        return answer.replace("\r", "")
