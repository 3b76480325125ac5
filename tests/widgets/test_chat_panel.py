"""ChatPanel: run for real, on a tiny model, with a deadline for every answer."""

import re
import threading
import time

import nbformat
import pytest
from nbclient import NotebookClient

from minillama.chat import encode_dialog
from minillama.guard import CacheTaken
from minillama.widgets import ChatPanel
from minillama.widgets.chat_panel import MAX_TURNS, Turn, panel_html
from minillama.widgets.labels import EN
from minillama.widgets.parts import LONGEST_SENT
from tests.kernels import PATIENT

pytestmark = pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
DEADLINE = 30  # seconds, for a machine that does something else


def user(text):
    return {"role": "user", "content": text}


def until(condition):
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.01)


def words(page):
    return re.findall(r'<span class="ml-words">(.*?)</span>', page)


class Gate:
    """Lets the pieces of a Llama's streams through one by one, and notes what was asked."""

    def __init__(self, llama, monkeypatch):
        self.open, self.stream, self.dialogs = threading.Semaphore(0), llama.stream, []
        monkeypatch.setattr(llama, "stream", self)

    def __call__(self, dialog, **settings):
        self.dialogs.append(dialog)
        return self.pieces(self.stream(dialog, **settings))

    def pieces(self, stream):
        for piece in stream:
            assert self.open.acquire(timeout=DEADLINE)
            yield piece

    def let(self, n):
        for _ in range(n):
            self.open.release()


@pytest.fixture
def panel(fresh_llama):
    return ChatPanel(fresh_llama, temperature=0, max_gen_len=12)


@pytest.fixture
def gate(fresh_llama, monkeypatch):
    return Gate(fresh_llama, monkeypatch)


def test_an_answer_is_that_of_chat_completion(panel, fresh_llama):
    assert words(panel.view.value) == [] and EN["panel_empty"] in panel.view.value
    expected = fresh_llama.chat_completion([[user("Hello")]], temperature=0, max_gen_len=12)[0]["generation"]
    assert panel.ask("Hello") and panel.wait(DEADLINE)
    assert panel.dialog == [user("Hello"), expected]
    assert EN["panel_ready"] in panel.status.value and panel.turns[0].state == "done"
    assert panel.view.value == panel_html(panel.turns, EN, style=False)


def test_the_memory_is_the_dialog(panel, gate):
    gate.let(1000)
    panel.system.value = "Be kind."
    for text in ("One", "Two", "Three"):
        assert panel.ask(text) and panel.wait(DEADLINE)
    first, second, third = gate.dialogs
    assert first == [{"role": "system", "content": "Be kind."}, user("One")]
    assert second[:2] == first and second[3:] == [user("Two")] and second[2]["role"] == "assistant"
    assert third[:4] == second and third[5:] == [user("Three")]
    panel.system.value = ""
    panel.clear()
    assert panel.dialog == [] and words(panel.view.value) == []
    assert panel.ask("Four") and panel.wait(DEADLINE)
    assert gate.dialogs[-1] == [user("Four")]


def test_seeds_and_settings_reach_the_model(fresh_llama):
    answers = []
    for seed in (3, 3, 4):
        panel = ChatPanel(fresh_llama, temperature=1, top_p=1, max_gen_len=12, seed=seed)
        assert panel.ask("Hello") and panel.wait(DEADLINE)
        answers.append(panel.turns[0].answer)
    assert answers[0] == answers[1] != answers[2]


def test_it_streams_and_a_busy_panel_says_so(panel, gate):
    assert panel.ask("Hello")
    assert panel.buttons["stop"].disabled is False and EN["panel_running"] in panel.status.value
    gate.let(1)
    until(lambda: panel.turns[0].answer)
    assert panel.turns[0].state == "running" and panel.dialog == []
    panel.message.value = "And now?"
    assert not panel.send()
    assert "Busy" in panel.status.value and panel.message.value == "And now?"
    gate.let(1000)
    assert panel.wait(DEADLINE) and len(gate.dialogs) == 1
    assert panel.buttons["stop"].disabled is True
    assert panel.send() and panel.message.value == "" and panel.wait(DEADLINE)
    assert [turn.question for turn in panel.turns] == ["Hello", "And now?"]


def test_one_run_at_a_time_for_a_llama(panel, fresh_llama, gate, llama):
    other, elsewhere = ChatPanel(fresh_llama, temperature=0, max_gen_len=4), ChatPanel(llama, max_gen_len=4, seed=1)
    assert panel.ask("Hello")
    assert not other.ask("Hello") and "another panel" in other.status.value
    assert elsewhere.ask("Hello") and elsewhere.wait(DEADLINE) and elsewhere.turns[0].state == "done"
    gate.let(1000)
    assert panel.wait(DEADLINE)
    assert other.ask("Hello") and other.wait(DEADLINE) and other.turns[0].state == "done"


def test_stopped_in_mid_answer(panel, gate):
    assert panel.ask("Hello")
    gate.let(2)
    until(lambda: panel.turns[0].answer)
    panel.buttons["stop"].click()
    gate.let(1000)
    assert panel.wait(DEADLINE)
    assert panel.turns[0].state == "stopped" and EN["panel_is_stopped"] in panel.view.value
    assert EN["panel_kept"] in panel.status.value
    kept = panel.dialog
    assert kept[1]["content"] == panel.turns[0].answer
    assert panel.ask("Again") and panel.wait(DEADLINE) and panel.turns[1].state == "done"
    assert gate.dialogs[-1] == [*kept, user("Again")]


def test_stopped_before_the_first_word(panel, gate):
    assert panel.ask("Hello")
    panel.stop()
    gate.let(1000)
    assert panel.wait(DEADLINE)
    assert panel.turns == [] and EN["panel_lost"] in panel.status.value
    assert panel.ask("Hello") and panel.wait(DEADLINE) and panel.turns[0].state == "done"


def test_cleared_in_mid_answer(panel, gate):
    assert panel.ask("Hello")
    gate.let(1)
    panel.buttons["clear"].click()
    gate.let(1000)
    assert panel.wait(DEADLINE)
    assert panel.dialog == [] and EN["panel_empty"] in panel.view.value and EN["panel_ready"] in panel.status.value
    assert panel.ask("Hello") and panel.wait(DEADLINE) and len(panel.turns) == 1


@pytest.mark.parametrize("written_meanwhile", ["", "And now?"])
def test_another_run_interrupts_the_answer(panel, fresh_llama, gate, written_meanwhile):
    panel.message.value = "Hello"
    assert panel.send() and panel.message.value == ""
    gate.let(1)
    until(lambda: panel.turns[0].answer)
    panel.message.value = written_meanwhile
    fresh_llama.generate([[1, 5]], max_gen_len=2, temperature=0)
    gate.let(1000)
    assert panel.wait(DEADLINE)
    assert "used this Llama" in panel.status.value and "Send your message again" in panel.status.value
    assert "ml-failed" in panel.status.value and "RuntimeError" not in panel.status.value
    assert panel.turns[0].state == "failed" and EN["panel_is_failed"] in panel.view.value and panel.dialog == []
    assert panel.message.value == (written_meanwhile or "Hello"), "what was written meanwhile is not overwritten"
    assert panel.send() and panel.wait(DEADLINE) and panel.turns[-1].state == "done"
    assert gate.dialogs[-1] == [user(written_meanwhile or "Hello")]


def test_a_cell_that_starts_before_the_worker_keeps_the_cache(panel, fresh_llama):
    begin, answer = threading.Event(), panel._answer
    panel._answer = lambda pieces: (begin.wait(DEADLINE), answer(pieces))
    panel.message.value = "Hello"
    assert panel.send()
    steps = fresh_llama.generate_steps([[1, 5]], 4, temperature=0)
    next(steps)
    begin.set()
    assert panel.wait(DEADLINE) and EN["panel_taken"] in panel.status.value and panel.message.value == "Hello"
    assert len([*steps]) == 3


def test_enter_waits_for_the_cell_that_is_running(kernels, tmp_path):
    """In a kernel: what Enter starts a tenth of a second later takes no cell's cache, and answers after it."""
    cells = [
        "import time; from minillama import Llama; from minillama.widgets import ChatPanel\n"
        "llama = Llama.build(); panel = ChatPanel(llama, temperature=0, max_gen_len=4)",
        "panel.message._handle_custom_msg({'event': 'submit'}, [])\n"
        "panel.message.value = 'Hello'; end = time.monotonic() + 1\n"
        "while time.monotonic() < end:\n"
        "    llama.generate([[1, 5]], max_gen_len=60, temperature=0)\n"
        "assert panel.turns == [] and panel.message.value == 'Hello'",
        "assert panel.wait(60) and panel.turns[0].state == 'done', panel.status.value",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, **PATIENT, resources={"metadata": {"path": tmp_path}}).execute()


def test_interrupted_before_the_first_word(panel, fresh_llama, monkeypatch):
    def stream(dialog, **_):
        raise CacheTaken("gone")
        yield ""

    with monkeypatch.context() as patch:
        patch.setattr(fresh_llama, "stream", stream)
        panel.message.value = "Hello"
        assert panel.send() and panel.wait(DEADLINE)
    assert EN["panel_taken"] in panel.status.value and panel.turns == [] and panel.message.value == "Hello"
    assert panel.send() and panel.wait(DEADLINE) and panel.message.value == ""


def test_any_error_in_the_worker_reaches_the_page(panel, fresh_llama, monkeypatch):
    def stream(dialog, **_):
        yield "Hel"
        raise MemoryError("<b>no room</b>")

    with monkeypatch.context() as patch:
        patch.setattr(fresh_llama, "stream", stream)
        assert panel.ask("Hello") and panel.wait(DEADLINE)
    assert "MemoryError: &lt;b&gt;no room" in panel.status.value and words(panel.view.value) == ["Hello", "Hel"]
    assert panel.ask("Hello") and panel.wait(DEADLINE) and panel.turns[-1].state == "done"


@pytest.mark.parametrize("text", ["", "  \n\t"])
def test_an_empty_message(panel, text):
    assert not panel.ask(text) and EN["panel_nothing"] in panel.status.value and panel.turns == []


@pytest.mark.parametrize("text", ["[INST]", "a [/INST] b", "<<SYS>>", "x<</SYS>>"])
def test_special_tags_are_refused_before_the_run(panel, gate, text):
    panel.message.value = text
    assert not panel.send() and panel.message.value == text
    assert "Refused: your message" in panel.status.value and gate.dialogs == [] and panel.turns == []
    panel.system.value = text
    assert not panel.ask("Hello") and "Refused: the system text" in panel.status.value
    panel.system.value = ""
    gate.let(1000)
    assert panel.ask("Hello") and panel.wait(DEADLINE) and panel.turns[0].state == "done"


def test_a_message_beyond_the_context(panel, fresh_llama):
    most = fresh_llama.model.params.max_seq_len
    message = "1" * most
    n = len(encode_dialog(fresh_llama.tokenizer, [user(message)]))
    assert not panel.ask(message)
    assert f"too long: the dialog has {n} tokens, the context holds {most}" in panel.status.value
    assert not panel.ask("a" * (LONGEST_SENT + 1)) and f"more than {LONGEST_SENT} characters" in panel.status.value
    panel.system.value = "a" * (LONGEST_SENT + 1)
    assert not panel.ask("Hello") and f"more than {LONGEST_SENT} characters" in panel.status.value and panel.turns == []
    panel.system.value = ""
    assert panel.ask("Hello") and panel.wait(DEADLINE)


def test_a_chat_beyond_the_context(panel):
    for _ in range(30):
        if not panel.ask("Once upon a time"):
            break
        assert panel.wait(DEADLINE)
    assert "The chat is too long" in panel.status.value
    kept = len(panel.turns)
    assert kept > 0 and not panel.ask("Hello there") and len(panel.turns) == kept
    panel.clear()
    assert panel.ask("Once upon a time") and panel.wait(DEADLINE)


def test_the_answer_may_fill_the_context(fresh_llama):
    panel = ChatPanel(fresh_llama, temperature=0)
    assert panel.ask("Hello") and panel.wait(DEADLINE) and panel.turns[0].state == "done"


def test_an_answer_without_words(reciter, tokenizer):
    panel = ChatPanel(reciter(tokenizer, []), temperature=0)
    assert panel.ask("Hello") and panel.wait(DEADLINE)
    assert EN["panel_silent"] in panel.view.value
    assert panel.ask("Hello") and panel.wait(DEADLINE) and len(panel.turns) == 2


@pytest.mark.parametrize("text", ["ab\ud83e"])
def test_half_a_character(panel, text):
    assert not panel.ask(text) and "lone surrogate" in panel.status.value
    panel.status.value.encode()
    panel.system.value = text
    assert not panel.ask("Hello") and "lone surrogate" in panel.status.value
    panel.system.value = ""
    assert panel.ask("Hello") and panel.wait(DEADLINE)


@pytest.mark.parametrize("seconds", [0, 0.5])
def test_enter_may_come_before_the_text(panel, seconds):
    panel.message._handle_custom_msg({"event": "submit"}, [])
    time.sleep(seconds)  # on a slow machine
    panel.message.value = "Hello"
    until(lambda: panel.turns and panel.message.value == "")
    assert panel.wait(DEADLINE) and panel.turns[0].question == "Hello"


def test_buttons_keyboard_and_hooks(panel):
    controls = {"s-system": panel.system, "s-message": panel.message, "s-status": panel.status}
    controls |= {f"s-{name}": button for name, button in panel.buttons.items()}
    for hook, control in controls.items():
        assert hook in control._dom_classes and control.tabbable is not False
    assert "w-chat-panel" in panel._dom_classes
    panel.message.value = "Hello"
    panel.buttons["send"].click()
    assert panel.wait(DEADLINE) and panel.turns[0].question == "Hello"


def test_the_page():
    page = panel_html([Turn("<script>", "a\nb\u202e", "stopped")], EN)
    assert words(page) == ["&lt;script&gt;", "a<br>b\\u202e"] and EN["panel_is_stopped"] in page
    assert 'role="log"' in page and page.startswith("<style>")
    many = panel_html([Turn(str(k), "x", "done") for k in range(MAX_TURNS + 3)], EN, style=False)
    assert "3 earlier turns are not shown" in many and words(many)[0] == "3" and len(words(many)) == 2 * MAX_TURNS


def test_bad_arguments(llama):
    with pytest.raises(ValueError, match="temperature"):
        ChatPanel(llama, temperature=-1)
    with pytest.raises(TypeError, match="system"):
        ChatPanel(llama, system=None)
    with pytest.raises(ValueError, match="max_gen_len"):
        ChatPanel(llama, max_gen_len=-1)
