"""Lays dialogs out by a chat template, in a process of its own: `sandbox.py` runs this file, nothing imports it.

It knows neither torch nor minillama. stdin: JSON {"template", "dialogs", "tokens", "memory", "output"}; stdout: a line
once it is ready, then JSON with {"text": ...} or {"error": ...} for each dialog. The arguments are folders in which
jinja2 and what it needs can be found. The template sees what transformers shows it: the same settings of jinja2, the
same functions; and no file can be opened and no process started once it runs.
"""

import datetime
import json
import sys

# Loads what jinja2 takes from files where it first needs it.
WARM_UP = r"{{ strftime_now('%x') }}{{ '\n' | tojson | pprint | wordwrap }}{{ lipsum(1) }}"
OLDEST = (3, 1, 6)  # of jinja2: templates found ways out of the sandboxes before


def main() -> None:
    sys.path += sys.argv[1:]
    import jinja2.debug
    import jinja2.ext
    import jinja2.sandbox

    environment(jinja2).from_string(WARM_UP).render()
    print(flush=True)
    request = json.loads(sys.stdin.buffer.read())
    if tuple(int(part) for part in jinja2.__version__.split(".")[:3] if part.isdecimal()) < OLDEST:
        print(json.dumps({"old": jinja2.__version__}))
        return
    limit(request["memory"])
    left, answers = request["output"], []
    try:
        template = environment(jinja2).from_string(request["template"])
    except (Exception, RecursionError, MemoryError) as error:
        answers = [refusal(error)] * len(request["dialogs"])
    for messages in request["dialogs"][len(answers) :]:
        try:
            text = ""
            for piece in template.generate(
                messages=messages, add_generation_prompt=True, tools=None, documents=None, **request["tokens"]
            ):
                text += piece
                if len(text) > left:
                    raise ValueError(f"it writes more than {request['output']} characters")
            text.encode()  # no lone surrogate
            left -= len(text)
            answers.append({"text": text})
        except (Exception, RecursionError, MemoryError) as error:
            answers.append(refusal(error))
    print(json.dumps(answers))


def refusal(error: BaseException) -> dict:
    return {"error": f"{type(error).__name__}: {str(error)[:200]}" if str(error) else type(error).__name__}


def environment(jinja2):
    """As in transformers' utils/chat_template_utils.py."""

    class Generation(jinja2.ext.Extension):
        """{% generation %} … {% endgeneration %}, which marks an answer for training, is what is in it."""

        tags = {"generation"}

        def parse(self, parser):
            line = next(parser.stream).lineno
            return jinja2.nodes.Scope(parser.parse_statements(["name:endgeneration"], drop_needle=True), lineno=line)

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    made = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )
    made.filters["tojson"] = tojson
    made.globals["raise_exception"] = raise_exception
    made.globals["strftime_now"] = lambda form: datetime.datetime.now().strftime(form)
    return made


def limit(memory: int) -> None:
    """From here on: `memory` more bytes, ten seconds of a processor, no new file, no new process."""
    try:
        import resource
    except ImportError:  # Windows
        return
    try:
        with open("/proc/self/statm") as file:
            memory += int(file.read().split()[0]) * resource.getpagesize()  # besides what Python itself takes
    except OSError:
        memory *= 2
    for name, most in (("AS", memory), ("CPU", 10), ("NPROC", 0), ("FSIZE", 0), ("CORE", 0), ("NOFILE", 0)):
        try:
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (most, most))
        except (AttributeError, ValueError, OSError):  # not on this system
            pass


if __name__ == "__main__":
    main()
