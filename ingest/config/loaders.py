"""PyYAML's loaders, so changed that a list of a hundred thousand mailboxes is never a tree of nodes as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

# Of the nodes: 0 is the root, 1 a section, 2 an item of a section that is a list.
_DEPTH_OF_ITEMS = 2


class ReadNode(yaml.Node):
    """An item of a list whose value was read already."""


class _Composing(yaml.composer.Composer):
    """Reads each item of a top-level list as soon as it is composed: YAML nodes take far more memory than values.

    Attributes:
        read_item: returns the value of an item, given the list, the item, and its path.
        sections: names of the lists.
    """

    read_item: Callable[[yaml.Node, yaml.CollectionNode, tuple[str, int]], Any] | None = None
    sections: Collection[str] = ()
    _depth = 0
    _section = ""

    @override
    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self._depth == 1 and isinstance(index, yaml.ScalarNode):
            self._section = index.value
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        if (
            self._depth != _DEPTH_OF_ITEMS
            or self._section not in self.sections
            or self.read_item is None
            or not isinstance(parent, yaml.SequenceNode)
            or not isinstance(node, yaml.CollectionNode)
        ):
            return node
        value = self.read_item(parent, node, (self._section, index))
        return ReadNode(node.tag, value, node.start_mark, node.end_mark)


class Loader(_Composing, yaml.SafeLoader):
    """The parser whose errors are reported."""


class FastLoader(_Composing, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """The same with the parser of libyaml, where PyYAML was built with it.

    Nodes are composed by Python's code all the same: that of libyaml ends the process where nesting is too deep.
    """

    def __init__(self, content: bytes) -> None:
        super(yaml.composer.Composer, self).__init__(content)  # Composer does not pass it on
        yaml.composer.Composer.__init__(self)
