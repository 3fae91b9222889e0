"""Groups that grow together."""

from collections.abc import Hashable, Iterable


class Groups:
    """Members 0 to `count` - 1, each alone at first; a group is known by its smallest member."""

    def __init__(self, count: int) -> None:
        self._up = list(range(count))

    def of(self, member: int) -> int:
        """The group of a member."""
        while self._up[member] != member:
            self._up[member] = self._up[self._up[member]]
            member = self._up[member]
        return member

    def join(self, first: int, second: int) -> None:
        """Make the groups of two members one."""
        low, high = sorted((self.of(first), self.of(second)))
        self._up[high] = low

    def join_equal(self, marks: Iterable[Hashable | None]) -> None:
        """Join members that have the same mark; None marks nobody."""
        first: dict[Hashable, int] = {}
        for member, mark in enumerate(marks):
            if mark is not None:
                self.join(member, first.setdefault(mark, member))
