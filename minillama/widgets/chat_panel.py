"""ChatPanel: talk to the model. A worker thread writes the answer, so the page stays alive and can stop it."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import ipywidgets as W
from IPython import get_ipython

from minillama import allowed, arguments, calls
from minillama.chat import encode_dialog, format_tags, has_special_tags
from minillama.generation import Llama
from minillama.guard import CacheTaken, giving_way
from minillama.markup import KEYS, escape, visible, wrap
from minillama.sampling import Sampling
from minillama.widgets.labels import labels
from minillama.widgets.parts import LONGEST_SENT, View, box, halved, hook, sized, small

REDRAW = 0.05  # seconds: a fast model writes more often than a page can be drawn
MAX_TURNS = 30  # that are drawn; the model reads all of them
KEY_TO_TEXT = 0.1, 3.0  # seconds, usual and longest: the browser reports the Enter key before the text it enters

_answering: weakref.WeakKeyDictionary[Llama, ChatPanel] = weakref.WeakKeyDictionary()  # one run at a time per Llama
_lock = threading.Lock()  # of _answering


@dataclass(frozen=True)
class Turn:
    """A question and as much of its answer as has been written."""

    question: str
    answer: str = ""
    state: str = "running"  # then "done", "stopped" or "failed"


def panel_html(turns: Sequence[Turn], text: dict[str, str], style: bool = True) -> str:
    """The chat so far: each message with the name of who said it."""
    hidden = max(0, len(turns) - MAX_TURNS)
    lines = [small(text["panel_more"].format(n=hidden))] if hidden else []
    for turn in turns[hidden:]:
        lines.append(_message("user", turn.question, text))
        note = "" if turn.state == "done" else text[f"panel_is_{turn.state}"]
        answer = turn.answer or (text["panel_silent"] if turn.state == "done" else "")
        lines.append(_message("assistant", answer, text, note))
    if not turns:
        lines = [small(text["panel_empty"])]
    name = escape(text["panel_log"])  # it scrolls, and is drawn anew as a whole: `View.live` tells what is new
    log = f'<div role="log" aria-live="off" aria-label="{name}"{KEYS}>{"".join(lines)}</div>'
    return wrap(log, "ml-panel", style)


def _message(role: str, content: str, text: dict[str, str], note: str = "") -> str:
    body = "<br>".join(map(escape, content.split("\n")))
    after = f' <span class="ml-note">{escape(note)}</span>' if note else ""
    name = escape(text[f"chat_is_{role}"])
    return f'<div class="ml-said ml-said-{role}"><b>{name}</b> <span class="ml-words">{body}</span>{after}</div>'


def _in_turn(act: Callable[[], object]) -> None:
    """Call it where cells run, after the one that is running; at once where there is no kernel."""
    loop = getattr(getattr(get_ipython(), "kernel", None), "io_loop", None)
    act() if loop is None else loop.add_callback(act)


class ChatPanel(View):
    """A chat with the model: a system field, a message field, and the buttons Send, Stop and Clear.

    system: the first text of the system field; temperature, top_p, max_gen_len and seed as for `Llama.stream`. Raises
    TypeError or ValueError, naming the argument, where `Llama.stream` would.

    The finished turns go into every later prompt: that is the memory. An answer that was stopped is kept as far as it
    was written; a question without any answer is not kept. A Llama answers one panel at a time. A run that a cell
    starts on it meanwhile takes over its cache and interrupts the answer. The panel says so and puts the message back
    into its field; an interrupted answer is shown, but is not part of the memory.
    """

    @allowed.only(
        llama=allowed.an(Llama),
        system=allowed.text,
        temperature=allowed.plain,
        top_p=allowed.plain,
        max_gen_len=allowed.plain,
        seed=allowed.plain,
    )
    def __init__(
        self,
        llama: Llama,
        system: str = "",
        temperature: float = 0.6,
        top_p: float = 0.9,
        max_gen_len: int | None = None,
        seed: int | None = None,
    ):
        arguments.text("system", system)
        Sampling(temperature, top_p), calls.max_gen_len(max_gen_len, llama.model.params), calls.seeds(seed, 1)
        self.text, self.llama = labels(), llama
        self.settings = {"temperature": temperature, "top_p": top_p, "max_gen_len": max_gen_len, "seed": seed}
        self.turns: list[Turn] = []
        self.running = False
        self._state = threading.RLock()  # of running and turns
        self._stop, self._forget, self._worker = threading.Event(), False, None

        late = {"continuous_update": False}
        self.system = W.Textarea(system, description=self.text["chat_system"], rows=1, **late, **sized("720px"))
        self.view = W.HTML()
        names = {"description": self.text["panel_message"], "placeholder": self.text["panel_tip"]}
        self.message = W.Text(**names, **late, **sized("720px"))
        names = ("send", "stop", "clear")
        self.buttons = {
            name: W.Button(description=self.text[f"panel_{name}"], tooltip=self.text[f"panel_{name}_tip"])
            for name in names
        }
        self.status = W.HTML()
        self.message.on_msg(self._key)
        for name, act in zip(names, (self.send, self.stop, self.clear), strict=True):
            self.buttons[name].add_class(f"s-{name}")
            self.buttons[name].on_click(lambda _, act=act: act())
        hook({"s-system": self.system, "s-message": self.message, "s-status": self.status})
        super().__init__(
            [self.system, self.view, self.message, W.HBox(list(self.buttons.values())), self.status], "w-chat-panel"
        )
        self.buttons["send"].button_style, self.buttons["stop"].disabled = "primary", True
        self._draw()
        self._say("panel_ready")

    # ---- what the controls do

    def send(self) -> bool:
        """Ask what is in the message field; True if the model took it."""
        with self._state:  # an answer that is interrupted at once puts the message back, after this
            took = self.ask(self.message.value)
            if took:
                self.message.value = ""
        return took

    def ask(self, question: str) -> bool:
        """Let the worker answer a question. False, with a message on the page, if it cannot be asked now."""
        with self._state:
            if self.running:
                return self._say("panel_busy", "missing")
            if not question.strip():
                return self._say("panel_nothing", "missing")
            with _lock:
                other = _answering.setdefault(self.llama, self)
            if other is not self:
                return self._say("panel_other", "missing")
            try:
                pieces = self._open(question)
            except Exception as error:  # whatever it is, the page says it
                self._release()
                return self._say("panel_cannot", "failed", reason=error)
            if pieces is None:
                self._release()
                return False
            self.running, self._forget = True, False
            self._stop.clear()
            self.turns.append(Turn(question))
            self.buttons["stop"].disabled = False
            self._draw()
            self._say("panel_running")
            self._worker = threading.Thread(target=self._answer, args=(pieces,), daemon=True)
            self._worker.start()
        return True

    def stop(self) -> None:
        """End the answer after the token that is being computed."""
        self._stop.set()

    def clear(self) -> None:
        """Forget all turns; an answer that is being written is stopped first."""
        with self._state:
            if self.running:
                self._forget = True
                self._stop.set()
                return
            self._clear()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the answer; True if it has ended."""
        worker = self._worker
        if worker is not None:
            worker.join(timeout)
        return not self.running

    @property
    def dialog(self) -> list[dict[str, str]]:
        """What the model is told before the next question: the system text and the finished turns."""
        system = [{"role": "system", "content": self.system.value}] if self.system.value.strip() else []
        return system + [
            {"role": role, "content": content}
            for turn in self.turns
            if turn.state in ("done", "stopped")
            for role, content in (("user", turn.question), ("assistant", turn.answer))
        ]

    # ---- how they do it

    def _key(self, _widget, content, _buffers) -> None:
        if content.get("event") == "submit":
            threading.Thread(target=self._entered, daemon=True).start()

    def _entered(self) -> None:
        """Send the message as soon as its text has arrived and no cell runs; if there is none, do nothing."""
        usual, longest = KEY_TO_TEXT
        end = time.monotonic() + longest
        time.sleep(usual)
        while not (self.message.value or self.running) and time.monotonic() < end:
            time.sleep(usual)
        if self.message.value.strip():
            _in_turn(self.send)

    def _open(self, question: str) -> Iterator[str] | None:
        """The stream of an answer, not yet started; None, with a message on the page, for what must not be run."""
        asked = {"role": "user", "content": question}
        told = self.dialog
        dialog = [*told, asked]
        if max(len(question), len(self.system.value)) > LONGEST_SENT:
            return self._refuse("panel_huge", most=LONGEST_SENT)
        if halved(question, self.system.value):
            return self._refuse("surrogate")
        arguments.dialog(dialog)
        if has_special_tags([asked], self.llama.tokenizer):
            return self._refuse("panel_tags", tags=" ".join(format_tags(self.llama.tokenizer)))
        if has_special_tags(told, self.llama.tokenizer):
            return self._refuse("panel_tags_before")
        length, most = len(encode_dialog(self.llama.tokenizer, dialog)), self.llama.model.params.max_seq_len
        if length >= most:
            alone = len(encode_dialog(self.llama.tokenizer, [asked]))
            return self._refuse("panel_long" if alone >= most else "panel_full", n=length, most=most)
        with giving_way():  # to a cell that starts before the worker does
            return self.llama.stream(dialog, **self.settings)

    def _refuse(self, key: str, **numbers) -> None:
        self._say(key, "failed", **numbers)

    def _answer(self, pieces: Iterator[str]) -> None:
        """The worker: whatever happens in it is shown on the page, and the panel is free again."""
        words, state, error, drawn = [], "done", None, time.monotonic()
        try:
            for piece in pieces:
                if self._stop.is_set():
                    state = "stopped"
                    break
                words.append(piece)
                self.turns[-1] = replace(self.turns[-1], answer="".join(words))
                if time.monotonic() - drawn >= REDRAW:
                    drawn = time.monotonic()
                    self._draw()
        except Exception as caught:
            state, error = "failed", caught
        finally:
            with self._state:
                self._end(state, error)

    def _end(self, state: str, error: Exception | None) -> None:
        turn = self.turns.pop()
        kept = state == "done" or bool(turn.answer.strip())
        if kept:
            self.turns.append(replace(turn, state=state))
        self.running = False
        self._release()
        if self._forget:
            self.turns.clear()
        self.buttons["stop"].disabled = True
        if error is not None:
            if not self._forget:
                self.message.value = self.message.value or turn.question
            key = "panel_taken" if isinstance(error, CacheTaken) else "panel_error"
            self._say(key, "failed", error=type(error).__name__, reason=error)
        elif self._forget:
            self._say("panel_ready")
        else:
            self._say("panel_ready" if state == "done" else "panel_kept" if kept else "panel_lost", said=turn.answer)
        self._draw()

    def _release(self) -> None:
        with _lock:
            if _answering.get(self.llama) is self:
                del _answering[self.llama]

    def _clear(self) -> None:
        self.turns.clear()
        self._draw()
        self._say("panel_ready")

    def _draw(self) -> None:
        self.view.value = panel_html(self.turns, self.text, style=False)

    def _say(self, key: str, kind: str = "", said: str = "", **words) -> bool:
        """Put a message below the buttons, which a screen reader reads after `said`; False, for `ask` to return."""
        message = self.text[key].format(**words)
        self.status.value = wrap(box(message, kind, live=False), style=False)
        self.live.words = visible(f"{said} {message}".strip())
        return False
