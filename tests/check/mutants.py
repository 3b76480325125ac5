"""Small changes to a function, each of which a judge should notice: the mutants of a right answer."""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator

from minillama.check.exercise import Exercise, build, source

LIMIT = 0.2  # seconds for a mutant that may never end
PATIENCE = 10.0  # for one that is known to be right: a busy machine is slow
COMPARE = {ast.Lt: [ast.LtE, ast.GtE], ast.LtE: [ast.Lt, ast.Gt], ast.Gt: [ast.GtE, ast.LtE], ast.GtE: [ast.Gt, ast.Lt],
           ast.Eq: [ast.NotEq, ast.LtE, ast.GtE], ast.NotEq: [ast.Eq], ast.In: [ast.NotIn], ast.NotIn: [ast.In],
           ast.Is: [ast.IsNot], ast.IsNot: [ast.Is]}  # fmt: skip
BINARY = {ast.Add: [ast.Sub, ast.Mult], ast.Sub: [ast.Add], ast.Mult: [ast.Div, ast.Add], ast.Div: [ast.Mult],
          ast.FloorDiv: [ast.Mult, ast.Div], ast.Mod: [ast.FloorDiv], ast.Pow: [ast.Mult], ast.BitOr: [ast.BitAnd],
          ast.BitAnd: [ast.BitOr], ast.MatMult: [], ast.LShift: [ast.RShift], ast.RShift: [ast.LShift],
          ast.BitXor: [ast.BitOr]}  # fmt: skip
NAMES = {"max": "min", "min": "max", "all": "any", "any": "all", "argmax": "argmin", "amax": "amin", "zeros": "ones",
         "zeros_like": "ones_like", "scatter": "gather", "gather": "scatter", "index": "count", "sum": "mean",
         "mean": "sum", "log": "exp", "exp": "log", "tril": "triu", "triu": "tril"}  # fmt: skip


def changed(node: ast.AST) -> Iterator[ast.AST]:
    """What may stand in a node's place."""

    def like(**fields) -> ast.AST:
        new = copy.copy(node)
        for name, value in fields.items():
            setattr(new, name, value)
        return new

    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        yield from (like(ops=[op()]) for op in COMPARE[type(node.ops[0])])
    elif isinstance(node, ast.BinOp):
        yield from (like(op=op()) for op in BINARY[type(node.op)])
        if isinstance(node.op, ast.Sub | ast.Div | ast.FloorDiv):
            yield like(left=node.right, right=node.left)
    elif isinstance(node, ast.BoolOp):
        yield like(op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
        yield from node.values
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
        yield ast.Constant(0)  # dim=-1 is dim=1 where there are two
    elif isinstance(node, ast.UnaryOp):
        yield node.operand
    elif isinstance(node, ast.IfExp):
        yield like(body=node.orelse, orelse=node.body)
        yield from (node.body, node.orelse)
    elif isinstance(node, ast.Constant):
        value = node.value
        if isinstance(value, bool):
            yield like(value=not value)
        elif isinstance(value, int | float):
            yield from (like(value=new) for new in {value + 1, value - 1, 0} - {value})
    elif isinstance(node, ast.Slice):
        yield from (like(**{end: None}) for end in ("lower", "upper", "step") if getattr(node, end) is not None)
    elif isinstance(node, ast.Attribute) and node.attr in NAMES:
        yield like(attr=NAMES[node.attr])
    elif isinstance(node, ast.Name) and node.id in NAMES:
        yield like(id=NAMES[node.id])
    elif isinstance(node, ast.Call):
        yield from (like(keywords=[each for each in node.keywords if each is not one]) for one in node.keywords)
        if len(node.args) > 1 and ast.unparse(node.func) not in ("min", "max"):
            yield like(args=[node.args[1], node.args[0], *node.args[2:]])


def mutants(exercise: Exercise) -> Iterator[tuple[str, Callable]]:
    """(the changed statement, the function) of every mutant of an exercise's right answer."""
    head, body = source(exercise.right)
    tree = ast.parse(f"{head}\n{body}")
    seen = {ast.unparse(tree)}
    for name, new in _trees(tree):
        ast.fix_missing_locations(new)
        text = ast.unparse(new)
        if text not in seen:
            seen.add(text)
            yield name, build(text, exercise.right)


def _trees(tree: ast.Module) -> Iterator[tuple[str, ast.Module]]:
    places = [(parent, field) for parent in ast.walk(tree.body[0]) for field in parent._fields]
    hidden = {node for error in ast.walk(tree) if isinstance(error, ast.Raise) for node in ast.walk(error)}  # its words
    for parent, field in places:
        value = getattr(parent, field, None)
        if (
            parent in hidden
            or isinstance(parent, ast.arguments | ast.arg)
            or field in ("annotation", "returns", "ctx", "type_comment")
        ):
            continue
        if isinstance(value, list) and value and isinstance(value[0], ast.stmt):
            for k, statement in enumerate(value):
                rest = value[:k] + value[k + 1 :]
                setattr(parent, field, rest or [ast.Pass()])
                yield f"without: {_first_line(statement)}", copy.deepcopy(tree)
            setattr(parent, field, value)
        for k, node in enumerate(value if isinstance(value, list) else [value]):
            if not isinstance(node, ast.expr | ast.Slice):
                continue
            for new in changed(node):
                setattr(parent, field, [*value[:k], new, *value[k + 1 :]] if isinstance(value, list) else new)
                name = _first_line(_statement(tree, new))
                yield name, copy.deepcopy(tree)
            setattr(parent, field, value)


def _statement(tree: ast.AST, node: ast.AST) -> ast.AST:
    """The innermost statement that holds a node."""
    return [each for each in ast.walk(tree) if isinstance(each, ast.stmt) and any(n is node for n in ast.walk(each))][
        -1
    ]


def _first_line(node: ast.AST) -> str:
    return ast.unparse(node).splitlines()[0]


def survives(exercise: Exercise, mutant: Callable, seconds: float = LIMIT) -> bool:
    """Whether every case takes a mutant for right."""
    cases = enumerate(exercise.cases.values())
    return all(exercise.trouble(k, exercise.run(mutant, case, seconds=seconds)) is None for k, case in cases)
