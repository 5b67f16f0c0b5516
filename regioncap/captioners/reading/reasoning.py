# ruff: noqa: RUF001 - the tokens of some models are written with signs that look like others.
"""The answer within a reply: what models think aloud, mark with channels, or end with special tokens is taken out.

Where the families differ (and which the tests have): `<think>` (DeepSeek, Qwen, GLM, InternVL, Kimi-VL as
`◁think▷`), `[THINK]` (Magistral), `<seed:think>` (Seed), `<|begin_of_thought|>` (Sky-T1), `<|START_THINKING|>`
(Cohere), `<|inner_prefix|>` (Apertus), channels `<|channel|>analysis` (gpt-oss) and `<|channel>thought` (Gemma 4),
"Here is my thought process:" (Granite), `<|begin_of_box|>` (GLM-V), `<answer>` (Hunyuan, R1-style training).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from regioncap.captioners.reading.lazy_pattern import lazy_pattern

_NAMES = (
    r"[a-z0-9_:.-]{0,24}?(?:think|thought|reason|reflect|analys|scratchpad|rationale|monolog|ponder|deliberat|"
    r"brainstorm|"
    r"draft|planning|critique|cot(?=\W)|notes?(?=\W)|plan(?=\W))[a-z0-9_:.-]{0,24}"
)
_IN_SQUARE = r"(?:think|thinking|thoughts?|reasoning|reflection)\]"
# Every part has a length, so that no text makes one search slow.
_BLOCK = lazy_pattern(
    r"[\\<〈＜\[◁](?:(?<=\\)<)?(?:"
    rf"(?P<close>\|?/\s?{_NAMES}\s?\|?\\?[>〉＞▷]|(?<=\[)/{_IN_SQUARE}|\|?end[a-z_]{{1,12}}(?:thought|thinking|"
    rf"think)\|"
    rf"?>|"
    r"\|inner_suffix\|>|channel\|>|(?<=\[)unused17\])|"
    rf"(?P<open>\|?{_NAMES}(?:\s[^<>]{{0,80}})?\|?\\?[>〉＞▷]|(?<=\[){_IN_SQUARE}|\|inner_prefix\|>|"
    r"\|channel>(?!\s*(?:final|response|answer)\b)|(?<=\[)unused16\]))",
    re.IGNORECASE,
)
_FOLDED = lazy_pattern(
    r"<details[^<>]{0,80}>\s{0,8}<summary>[^<]{0,40}(?:think|thought|reason)[^<]{0,40}</summary>.*?(?:</details>|\Z)|"
    r"```(?:think|thought|reason|analysis)\w{0,8}\n.*?(?:```|\Z)",
    re.IGNORECASE | re.DOTALL,
)
_TIMER = lazy_pattern(
    r"\W{0,8}(?:thought|reasoned|thinking|thinks) for [^\n.]{1,24}\.?[^\w\n{\[\"]{0,4}\n", re.IGNORECASE
)
_THINKS_ALOUD = lazy_pattern(
    r"[\s*_#>`(\[]{0,8}(?:(?:my |internal )?(?:thinking|thoughts?|reasoning|analysis|"
    r"chain[- ]of[- ]thought)(?: process)?|step 1|"
    r"思考(?:过程|過程)?|推理(?:过程|過程)?|分析(?:过程)?|gedankengang|überlegung(?:en)?|raisonnement|razonamiento|"
    r"рассуждени[ея])\s?[*_]{0,3}\s?(?:[:：]|\.{3}|…|\n)|[\s*_#>`(]{0,8}let(?: me|['’]s) (?:think|reason)\b",
    re.IGNORECASE,
)
_FINAL = (
    r"final|(?:final|corrected|revised|updated|definitive) (?:answers?|captions?|descriptions?|outputs?|responses?|"
    r"versions?|results?)|"
    r"最终(?:答案|回答|描述)|最終(?:回答|答案)|최종 ?(?:답변|답|설명)|(?:endgültige|finale) (?:antworte?n?|"
    r"beschreibung(?:en)?)|"
    r"réponses? finales?|respuestas? final(?:es)?|resposta final|risposta finale|(?:окончательный|итоговый) ответ"
)
_FINAL_CUES = ("final", "corrected", "revised", "updated", "definitive", "最", "최종", "endgültig", "ответ")
_HEADING_ENDS = r"[*_\s]{0,4}(?:[:：][*_\s]{0,4}|[*_]{1,3}(?:\s|\Z)|\n|\Z)"
_FINALLY = lazy_pattern(
    rf"(?:(?:^|\n)[\s*_#>`]{{0,8}}|[.!?]\s[*_]{{0,3}})(?:{_FINAL}){_HEADING_ENDS}",
    re.IGNORECASE,
)
_THEN_ANSWERS = lazy_pattern(
    rf"(?:^|\n)[\s*_#>`]{{0,8}}(?:{_FINAL}|answers?|captions?|descriptions?|output|答案|回答|描述|説明|antworte?n?|"
    rf"réponses?|respuestas?){_HEADING_ENDS}",
    re.IGNORECASE,
)

_OPENED = lazy_pattern(r"\s{0,8}<([a-z][a-z_:.-]{2,24})>", re.IGNORECASE)
_CONTAINERS = frozenset({
    "answer", "final_answer", "final", "output", "response", "result", "results", "solution", "conclusion", "assistant",
    "regions", "captions", "region", "caption", "description", "descriptions", "annotations", "annotation", "objects",
    "object", "items", "item", "boxes", "box", "root", "data", "xml", "json", "list", "text", "html", "body", "table",
    "image", "images", "div", "span", "strong", "mark", "code", "pre", "ref", "tool_call", "function_call", "tbody",
})  # fmt: skip
"""Tags that an answer may stand in. Another one that is never closed may hold thoughts."""

_MESSAGE = lazy_pattern(r"<\|message\|>", re.IGNORECASE)
_HEADER_START = lazy_pattern(r"<\|(?:start|channel|end|return|call|eom|eot)\|>", re.IGNORECASE)
_NO_ANSWER = lazy_pattern(r"analysis|commentary|thought|think|reason|to=(?!user)", re.IGNORECASE)
_BARE_CHANNELS = lazy_pattern(r"analysis(?=[A-Z\s])")
_GRANITE = lazy_pattern(r"Here(?:'s| is) my thought process:", re.IGNORECASE)
_GRANITE_ANSWER = lazy_pattern(r"Here(?:'s| is) my response:", re.IGNORECASE)

_BAR = r"[|｜]"
_TOKEN = (
    rf"<{_BAR}[^<>|｜\n]{{1,48}}{_BAR}>|<{_BAR}[a-z_]{{1,24}}>|<[a-z_]{{1,24}}{_BAR}>|</?s>|<[be]os>|<pad>|<unk>|"
    r"<(?:start|end)_of_(?:turn|utterance|text|image)>|\[/?INST\]|\[(?:EOS|BOS|PAD|SEP|CLS|MASK|gMASK|/s)\]|▁|"
    r"<image>|<0x[0-9A-F]{2}>"
)
SPECIAL_TOKEN = lazy_pattern(_TOKEN, re.IGNORECASE)
"""What tokenizers have and no prose: in a caption it shows that something was not understood."""

_ROLE = r"(?:#{2,4}\s?)?\b(?:assistant|model|gpt|bot|ai)(?:\s?:|\s?\n|(?=<[|｜]))|\[assistant\]|\bthought\n"
_LEADING = lazy_pattern(rf"(?:\s|{_TOKEN}|{_ROLE})++", re.IGNORECASE)
_TURN_ENDS = lazy_pattern(
    r"<end_of_(?:turn|utterance)>|<\|(?:im_end|im_start|eot_id|eom_id|eot|eom|end|return|endoftext|end_of_text|user|"
    r"observation|start_header_id|end_of_solution|end_of_sentence|endofresponse|end_response|end_of_turn_token)\|>|"
    rf"</s>|<eos>|<turn\|>|<\|turn>|<start_of_turn>|\[EOS\]|\[/?INST\]|<{_BAR}end▁of▁sentence{_BAR}>|"
    rf"<{_BAR}User{_BAR}>",
    re.IGNORECASE,
)
_NEXT_TURN = lazy_pattern(r"\s(?:(?<=\n)|(?<=[.!?]\s))(?:\#{2,3}\s?)?(?:user|human|assistant)\s?:", re.IGNORECASE)
_ANSWER = lazy_pattern(
    r"<(?:(?P<open>(?:answer|final_answer|final|response|conclusion|output|solution)>|\|begin_of_(?:box|solution)\|>)"
    r"|(?P<close>/(?:answer|final_answer|final|response|conclusion|output|solution)>|\|end_of_(?:box|solution)\|>))",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Answer:
    """What a reply answers: `text`, "" where it answers nothing, and then `problem` says why.

    `around`: what stood around a marked answer, "" where nothing marks it.
    """

    text: str
    problem: str = ""
    around: str = ""


def answer_of(reply: str) -> Answer:
    """The answer in `reply`, without reasoning, channels and special tokens.

    >>> answer_of("<think>A wolf?</think>A dog.<|im_end|>").text, answer_of("<think>A wolf?").problem
    ('A dog.', 'its reasoning never ended')
    """
    text = _without_reasoning(_of_final_channel(_FOLDED.sub("", reply)))
    if text is None:
        return Answer("", "its reasoning never ended")
    text = _of_first_turn(text)
    opened = _OPENED.match(text)
    if opened and opened[1].lower() not in _CONTAINERS and f"</{opened[1]}" not in text:
        return Answer("", f"it opens <{opened[1]}> and never closes it")
    return _after_drafts(_marked(text))


def _after_drafts(answer: Answer) -> Answer:
    """What stands behind "Final answer:", and behind thoughts under a heading of their own; those alone answer
    nothing."""
    text = answer.text
    timer = _TIMER.match(text)
    text = text[timer.end() :] if timer else text
    aloud, low = _THINKS_ALOUD.match(text), text.lower()
    pattern = _THEN_ANSWERS if aloud else _FINALLY if any(cue in low for cue in _FINAL_CUES) else None
    marks = list(pattern.finditer(text)) if pattern else []
    if aloud and not marks:
        return Answer("", "it thinks aloud, and does not say where its answer begins")
    return replace(answer, text=text[marks[-1].end() :].strip() if marks else text)


def without_reasoning(reply: str) -> str | None:
    """`reply` without reasoning and channels; all else is as it was. None where they cannot be told from an answer.

    >>> without_reasoning("<think>A wolf?</think>A dog.<|im_end|>"), without_reasoning("<think>A wolf?")
    ('\\nA dog.<|im_end|>', None)
    """
    return _without_reasoning(_of_final_channel(reply))


def _of_final_channel(text: str) -> str | None:
    """The last message of a channel that is meant for the user; None where all channels are others."""
    if _MESSAGE.search(text):
        return _of_messages(text)
    if _BARE_CHANNELS.match(text):
        # The markers were decoded away, and their words are left.
        _, found, final = text.rpartition("assistantfinal")
        return final if found else None
    granite = _GRANITE.match(text.lstrip())
    if granite:
        answers = list(_GRANITE_ANSWER.finditer(text))
        return text[answers[-1].end() :] if answers else None
    return text


def _of_messages(text: str) -> str | None:
    header, *pieces = _MESSAGE.split(text)
    answer = None
    for piece in pieces:
        # Behind a message stands the header of the next one, from the first marker on.
        end = _HEADER_START.search(piece)
        if not _NO_ANSWER.search(header[-80:]):
            answer = piece[: end.start()] if end else piece
        header = piece[end.start() :] if end else ""
    return answer


def _without_reasoning(text: str | None) -> str | None:
    """None where a block of reasoning is open at the end."""
    if text is None:
        return None
    kept: list[str] = []
    depth = begin = 0
    for mark in _BLOCK.finditer(text):
        if mark["open"]:
            if not depth:
                kept.append(text[begin : mark.start()])
            depth += 1
            continue
        # A closing tag alone: the template wrote the opening one, and all before it is reasoning.
        kept = kept if depth else []
        depth = max(0, depth - 1)
        begin = mark.end()
    return None if depth else "\n".join([*kept, text[begin:]])


def _of_first_turn(text: str) -> str:
    """Up to where the model ends its turn; what comes then is made up. Without special tokens at both ends."""
    leading = _LEADING.match(text)
    text = text[leading.end() :] if leading else text
    end = _TURN_ENDS.search(text)
    text = text[: end.start()] if end else text
    low = text.lower()
    end = _NEXT_TURN.search(text) if any(role in low for role in ("user", "human", "assistant")) else None
    text = (text[: end.start()] if end else text).rstrip()
    begin = len(text)
    for token in reversed(list(SPECIAL_TOKEN.finditer(text))):
        if text[token.end() : begin].strip():
            break
        begin = token.start()
    return text[:begin].rstrip()


def _marked(text: str) -> Answer:
    """The one answer that tags mark; several tags mark parts of it, and are dropped."""
    marks = list(_ANSWER.finditer(text))
    if not marks:
        return Answer(text.strip())
    opened = [mark for mark in marks if mark["open"]]
    if not opened:
        return Answer(text[: marks[0].start()].strip())
    if len(opened) == 1:
        closed = next((mark for mark in marks if mark["close"] and mark.start() > opened[0].start()), None)
        begin, end = opened[0].end(), closed.start() if closed else len(text)
        after = text[closed.end() :] if closed else ""
        return Answer(text[begin:end].strip(), around=f"{text[: opened[0].start()]}\n{after}".strip())
    return Answer(_ANSWER.sub("", text).strip())
