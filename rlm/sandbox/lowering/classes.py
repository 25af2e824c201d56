"""Classes with bases and decorated methods, in terms of plain ones.

The interpreter knows classes with plain methods only. What a class inherits from one of the code's own is copied into
it; properties, static and class methods become plain methods, and the places that use them are rewritten.
"""

import ast
import copy
from dataclasses import dataclass, field

from rlm.sandbox.lowering.rewriting import RefusedSyntaxError

# Exceptions that the code defines are played by ones that nobody else raises, so that `except` tells them apart.
STAND_INS = {
    "Exception": ("Clamped", "Inexact", "Rounded", "Subnormal", "Underflow", "FloatOperation"),
    "ValueError": ("TOMLDecodeError",),
}
_WITHOUT_MEANING = frozenset({"object", "ABC", "Generic", "Protocol"})
_ENUMS = frozenset({"Enum", "IntEnum", "StrEnum"})
_PROPERTIES = frozenset({"property", "cached_property"})
_STATIC = frozenset({"staticmethod", "classmethod"})
_IGNORED = frozenset({"abstractmethod", "override", "final"})


@dataclass
class ClassMemory:
    """What a session's cells have defined so far. `exceptions` are names by their stand-ins."""

    classes: dict[str, ast.ClassDef] = field(default_factory=dict)
    statics: dict[str, set[str]] = field(default_factory=dict)
    properties: dict[str, str] = field(default_factory=dict)
    derived: dict[str, dict[str, None]] = field(default_factory=dict)
    exceptions: dict[str, str] = field(default_factory=dict)

    def copy(self) -> "ClassMemory":
        """For a cell that may yet be refused; definitions themselves are never changed."""
        return ClassMemory(
            dict(self.classes),
            {name: set(methods) for name, methods in self.statics.items()},
            dict(self.properties),
            {name: dict(classes) for name, classes in self.derived.items()},
            dict(self.exceptions),
        )

    def adopt(self, other: "ClassMemory") -> None:
        vars(self).update(vars(other))


class ClassPass(ast.NodeTransformer):
    """Definitions as they are met, and the uses of what they defined."""

    def __init__(self, memory: ClassMemory, tree: ast.Module) -> None:
        self._memory = memory
        self._used: dict[str, None] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                self._announce(node)

    def getters(self) -> list[ast.stmt]:
        """Definitions of what the cell's uses of properties call: an earlier cell may have failed before its class."""
        return [each for name in self._used for each in _getter_definition(name)]

    def _announce(self, node: ast.ClassDef) -> None:
        """Uses may stand before the definition, in a function that is called after it."""
        for base in map(_name, node.bases):
            self._memory.derived.setdefault(base, {})[node.name] = None
        methods = [each for each in node.body if isinstance(each, ast.FunctionDef)]
        kinds = {each.name: {_name(decorator) for decorator in each.decorator_list} for each in methods}
        self._memory.statics[node.name] = {name for name, kind in kinds.items() if kind & _STATIC}
        for name, kind in kinds.items():
            if kind & _PROPERTIES:
                self._memory.properties[name] = _getter(name)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        match node:
            case ast.Call(func=ast.Name(id="isinstance"), args=[thing, ast.Name(id=name)]) if (
                name in self._memory.classes
            ):
                classes: list[ast.expr] = [ast.Name(each, ast.Load()) for each in self._family(name)]
                node.args = [thing, ast.Tuple(classes, ast.Load())]
        return node

    def _family(self, name: str) -> list[str]:
        """A class and what was derived from it, each once, however often and in whichever circle that was said."""
        found: dict[str, None] = {}
        waiting = [name]
        while waiting:
            each = waiting.pop()
            if each not in found:
                found[each] = None
                waiting += reversed(self._memory.derived.get(each, {}))
        return [each for each in found if each == name or each in self._memory.classes]

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST | list[ast.stmt]:
        if node.keywords and not all(keyword.arg == "metaclass" for keyword in node.keywords):
            raise RefusedSyntaxError(node, "keywords of a class do not run here", "Set them in __init__.")
        bases = [name for base in node.bases if (name := _name(base)) not in _WITHOUT_MEANING]
        if not bases:
            return self._plain(node)
        if len(bases) > 1 and not set(bases) & _ENUMS:
            raise RefusedSyntaxError(node, "a class with several bases does not run here", "Give it one base, or none.")
        if set(bases) & _ENUMS:
            return _enumeration(node)
        match bases[0]:
            case "NamedTuple":
                return _named_tuple(node)
            case "TypedDict":
                return ast.parse(f"{node.name} = dict").body
            case base if base in STAND_INS or base in self._memory.exceptions.values():
                return self._exception(node, base)
            case base if base in self._memory.classes:
                return self._inherited(node, self._memory.classes[base])
        raise RefusedSyntaxError(
            node, f"a class cannot inherit from {bases[0]} here", "Write a class without bases, or plain functions."
        )

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        if not isinstance(node.ctx, ast.Load):
            return node
        if node.attr in self._memory.properties:
            self._used.setdefault(node.attr)
            getter = ast.Name(self._memory.properties[node.attr], ast.Load())
            return ast.Call(getter, [node.value], [])
        if isinstance(node.value, ast.Name) and node.attr in self._memory.statics.get(node.value.id, ()):
            return ast.Call(ast.Name("_ll_unbound", ast.Load()), [node], [])
        return node

    def _plain(self, node: ast.ClassDef) -> list[ast.stmt]:
        node.bases, node.keywords = [], []
        memory = self._memory
        memory.classes[node.name] = copy.deepcopy(node)
        memory.statics.setdefault(node.name, set())
        getters: list[ast.stmt] = []
        for method in node.body:
            if not isinstance(method, ast.FunctionDef):
                continue
            kinds = {_name(decorator) for decorator in method.decorator_list} - _IGNORED
            if any("setter" in kind or "deleter" in kind for kind in kinds):
                raise RefusedSyntaxError(method, "property setters do not run here", "Write a method that sets it.")
            method.decorator_list = [each for each in method.decorator_list if _name(each) not in _IGNORED]
            if kinds & _STATIC:
                memory.statics[node.name].add(method.name)
                _make_static(method, node.name)
            elif kinds & _PROPERTIES:
                getters += self._property(method)
        # Uses inside the class are rewritten when all of it is known.
        self.generic_visit(node)
        return [node, *getters]

    def _property(self, method: ast.FunctionDef) -> list[ast.stmt]:
        public = method.name
        self._memory.properties[public] = _getter(public)
        method.name, method.decorator_list = _hidden(public), []
        return _getter_definition(public)

    def _exception(self, node: ast.ClassDef, base: str) -> list[ast.stmt]:
        if not all(isinstance(each, ast.Pass) or _is_docstring(each) for each in node.body):
            raise RefusedSyntaxError(
                node, "an exception with methods does not run here", "Raise ValueError with all of it in the message."
            )
        exceptions = self._memory.exceptions
        known = [stand_in for stand_in, name in exceptions.items() if name == node.name]
        free = known or [name for name in STAND_INS.get(base, ()) if name not in exceptions]
        if not free:
            raise RefusedSyntaxError(node, "no more exception classes can be made here", "Raise ValueError instead.")
        exceptions[free[0]] = node.name
        return ast.parse(f"{node.name} = _ll_exception_{free[0]}").body

    def _inherited(self, node: ast.ClassDef, base: ast.ClassDef) -> list[ast.stmt]:
        own = {each.name for each in node.body if isinstance(each, ast.FunctionDef)}
        uses_super = "super" in {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
        inherited: list[ast.stmt] = []
        for each in copy.deepcopy(base).body:
            if isinstance(each, ast.FunctionDef) and each.name in own:
                if not uses_super:
                    continue
                each.name = _super_name(base.name, each.name)
            if not _is_docstring(each) and not isinstance(each, ast.Pass):
                inherited.append(each)
        body = [_SuperCalls(base.name, own).visit(each) for each in node.body]
        node.body = [*inherited, *body]
        if not node.decorator_list:
            node.decorator_list = copy.deepcopy(base.decorator_list)
        return self._plain(node)


class _SuperCalls(ast.NodeTransformer):
    """`super().method(…)` becomes a call of the copy of the base's method; where the base has it still, of that."""

    def __init__(self, base: str, own: set[str]) -> None:
        self._base = base
        self._own = own

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        match node.value:
            case ast.Call(func=ast.Name(id="super")):
                name = _super_name(self._base, node.attr) if node.attr in self._own else node.attr
                return ast.Attribute(ast.Name("self", ast.Load()), name, node.ctx)
        return node


def _getter(name: str) -> str:
    return f"_ll_get_{name}"


def _hidden(name: str) -> str:
    return f"_ll_property_{name}"


def _getter_definition(name: str) -> list[ast.stmt]:
    """Any class may have the property; other objects are read as they are."""
    hidden = _hidden(name)
    return ast.parse(
        f"def {_getter(name)}(thing):\n    return thing.{hidden}() if hasattr(thing, '{hidden}') else thing.{name}"
    ).body


def _super_name(base: str, method: str) -> str:
    return f"_ll_super_{base}_{method.strip('_')}"


def _make_static(method: ast.FunctionDef, owner: str) -> None:
    """A method whose first argument is not looked at; `cls` is the class by its name."""
    kind = next(_name(decorator) for decorator in method.decorator_list if _name(decorator) in _STATIC)
    method.decorator_list = [each for each in method.decorator_list if _name(each) not in _STATIC]
    if kind == "classmethod":
        first = method.args.args.pop(0).arg
        method.body = [_Renaming(first, owner).visit(each) for each in method.body]
    method.args.args.insert(0, ast.arg("_ll_unused"))


class _Renaming(ast.NodeTransformer):
    def __init__(self, before: str, after: str) -> None:
        self._before = before
        self._after = after

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Name(self._after, node.ctx) if node.id == self._before else node


def _enumeration(node: ast.ClassDef) -> list[ast.stmt]:
    """A class whose attributes are members with a name and a value; it can be neither called nor iterated."""
    members: list[ast.stmt] = []
    for each in node.body:
        match each:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                made = ast.Call(
                    ast.Name("_ll_EnumMember", ast.Load()), [ast.Constant(node.name), ast.Constant(name), value], []
                )
                members.append(ast.Assign([ast.Name(name, ast.Store())], made))
            case _ if not _is_docstring(each) and not isinstance(each, ast.Pass):
                raise RefusedSyntaxError(each, "an enumeration with methods does not run here", "Use plain functions.")
    return [ast.ClassDef(node.name, [], [], members or [ast.Pass()], [])]


def _named_tuple(node: ast.ClassDef) -> list[ast.stmt]:
    fields: list[str] = []
    defaults: list[ast.expr] = []
    for each in node.body:
        match each:
            case ast.AnnAssign(target=ast.Name(id=name), value=value):
                fields.append(name)
                defaults += [value] if value else []
            case _ if not _is_docstring(each):
                raise RefusedSyntaxError(each, "a NamedTuple with methods does not run here", "Use plain functions.")
    made = ast.parse(f"{node.name} = _ll_namedtuple({node.name!r}, {fields!r})").body
    call = made[0].value if isinstance(made[0], ast.Assign) else None
    assert isinstance(call, ast.Call)
    if defaults:
        call.keywords.append(ast.keyword("defaults", ast.List(defaults, ast.Load())))
    return made


def _is_docstring(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _name(expression: ast.expr) -> str:
    """The last name of `a.b[c](d)`."""
    match expression:
        case ast.Name(id=name):
            return name
        case ast.Attribute(attr=name):
            return name
        case ast.Subscript(value=value) | ast.Call(func=value):
            return _name(value)
    return ""
