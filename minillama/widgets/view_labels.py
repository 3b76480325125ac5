"""The words of the views that Python draws: canvas, tokens, echo, a dialog, the chat."""

VIEWS = {
    # ---- the canvas
    "canvas_table": "The canvas and its mask before the first step",
    "canvas_caption": "bsz = {bsz}. total_len = min(max_seq_len, longest prompt + max_gen_len) "
    "= min({max_seq_len}, {longest} + {max_gen_len}) = {total_len}.",
    "canvas_read": "read by call no.",
    "canvas_legend": "✓ True: a token of the prompt. · False: empty until the loop writes it. "
    "The last row says which call of forward reads the column (–: none).",
    # ---- tokens
    "tok_text": "text",
    "tok_bos": "bos",
    "tok_eos": "eos",
    "tok_count": "Tokens: {tokens}. Characters: {chars}. Bytes in UTF-8: {bytes}.",
    "tok_empty": "There is no text yet: type some.",
    "tok_cut": "The text is too long for this view: the first {kept} characters are shown, {cut} are left out.",
    "tok_pieces": "The text, cut into tokens",
    "tok_whole": "= {character}",
    "tok_table": "The tokens, one per row",
    "tok_more": "… {n} more tokens; the coloured pieces above show them all",
    "tok_kind_text": "text",
    "tok_kind_byte": "byte",
    "tok_kind_control": "control",
    "tok_waits": "… none yet",
    # ---- echo
    "echo_table": "One prompt completed with and without echo, one token per row",
    "echo_legend": "▸ a token of the prompt, returned only with echo. ● a generated token. – not in this result.",
    # ---- a dialog
    "chat_system": "system",
    "chat_messages": "messages",
    "chat_tip": "One message per line: the user's, the assistant's, the user's …; blank lines are ignored",
    "chat_count": "{n} tokens, {texts} of them bos. The context holds {most}: {room} left for the answer.",
    "chat_full": "{n} tokens leave no room for an answer: max_seq_len is {most}. Shorten the dialog.",
    "chat_line": "Text {k}, starting at bos",
    "chat_more": "… {n} more tokens are not shown.",
    "chat_is_bos": "bos",
    "chat_is_eos": "eos",
    "chat_is_tag": "tag",
    "chat_is_system": "system",
    "chat_is_user": "user",
    "chat_is_assistant": "assistant",
    "chat_none": "There is no message yet. Write the user's message in the first line.",
    "chat_even": "There are {n} messages, so the last one is the assistant's and there is nothing to answer. "
    "Add a line.",
    "chat_cannot": "This dialog cannot be encoded: {reason}.",
    "chat_tags": "A message contains {tags}, so chat_completion refuses this dialog. These are the ids it would have.",
    # ---- a chat
    "panel_message": "message",
    "panel_tip": "Type a message, then press Enter",
    "panel_send": "Send",
    "panel_send_tip": "Send the message to the model",
    "panel_stop": "Stop",
    "panel_stop_tip": "Stop the answer here",
    "panel_clear": "Clear",
    "panel_clear_tip": "Forget all messages",
    "panel_log": "The chat so far",
    "panel_empty": "Nothing has been said yet.",
    "panel_more": "… {n} earlier turns are not shown; the model still reads them.",
    "panel_silent": "(no words: the answer began with eos)",
    "panel_is_running": "▌",
    "panel_is_stopped": "■ stopped",
    "panel_is_failed": "✗ interrupted",
    "panel_ready": "Ready.",
    "panel_running": "▶ Answering …",
    "panel_busy": "Busy: the answer is still being written. Wait until it is finished, or press Stop.",
    "panel_other": "Busy: this Llama is answering in another panel. Wait until it has finished, or stop it there.",
    "panel_nothing": "The message is empty. Write something first.",
    "panel_tags": "Refused: your message contains one of the format's own tags ({tags}). The model was not run.",
    "panel_tags_before": "Refused: the system text, or an earlier message, contains one of the format's own tags. "
    "Change the system text, or press Clear.",
    "panel_long": "The message is too long: the dialog has {n} tokens, the context holds {most}, and the answer needs "
    "at least one of them. Shorten it.",
    "panel_huge": "Too long: a field has more than {most} characters. Shorten it.",
    "panel_full": "The chat is too long: with this message it has {n} tokens, the context holds {most}, and the answer "
    "needs at least one of them. Press Clear, or shorten the system text.",
    "panel_cannot": "This message cannot be sent: {reason}",
    "panel_taken": "The answer was interrupted: a cell or another widget used this Llama. Send your message again; "
    "the unfinished answer is not remembered.",
    "panel_error": "The answer was interrupted. {error}: {reason}",
    "panel_kept": "Stopped. What was written so far is kept.",
    "panel_lost": "Stopped before the first word. The message was not kept.",
}
