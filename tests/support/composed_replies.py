# ruff: noqa: E501, RUF001 - replies as they come, and signs of many scripts, are meant here.
"""A grammar of what models write: composed replies that carry the captions that they mean.

Nothing here knows how the parser reads.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from dataclasses import dataclass, replace

CAPTIONS = [
    "A brown dog sleeps on a red sofa.",
    "Two cats, one grey and one white, look out of the window.",
    'A shop sign that reads "OPEN 24/7" above the door.',
    "A man (about 40) holds 3 balloons: red, green and blue.",
    "A poster for Area 51, with an alien's face.",
    "A car in the second region of the image, half hidden.",
    "A clock that shows 10:45. Its frame is made of wood. It hangs on a brick wall.",
    "1960s television on a low table; its screen is dark.",
    "Bus 42 to the city centre.",
    "A child – perhaps five years old – runs along the beach!",
    "A book titled 'Region of Storms' lies open.",
    "A woman's hand; on her ring finger, a gold band.",
    "Is this a street musician? He plays a violin in front of a café.",
    "A bottle of Coca-Cola® (0.5 l), 50% full.",
    "The number 7 on a football player's back.",
    "3 apples and 2 pears in a bowl.",
    "A first-class train carriage, seen from outside.",
    "A note on a fridge, signed by J. R. Smith, dated 2 May 2021.",
    "A white van of the company Müller & Söhne GmbH, plate B-AB 1234.",
    "A small bird, which is the only one of its kind here, on a branch.",
]  # fmt: skip
IN_LANGUAGE = {
    "zh": ["一只棕色的狗睡在红色沙发上。", "两只猫，一灰一白，望着窗外。", "一块写着“营业中”的招牌。", "桌上有3个苹果和2个梨。", "一位老人坐在长椅上看报纸。"],
    "ja": ["茶色い犬が赤いソファで寝ている。", "窓の外を見ている2匹の猫。", "「営業中」と書かれた看板。", "テーブルの上に3個のりんごがある。", "海辺を走る子ども。"],
    "ko": ["갈색 개가 빨간 소파에서 자고 있다.", "창밖을 보는 고양이 두 마리.", "'영업 중'이라고 쓰인 간판.", "그릇에 담긴 사과 3개.", "해변을 달리는 아이."],
    "de": ["Ein brauner Hund schläft auf einem Sofa.", "Zwei Katzen schauen aus dem Fenster.", "Ein Schild mit der Aufschrift „Geöffnet“.", "3 Äpfel in einer Schale.", "Ein Kind läuft am Strand."],
    "fr": ["Un chien brun dort sur un canapé rouge.", "Deux chats regardent par la fenêtre.", "Une pancarte « Ouvert » au-dessus de la porte.", "3 pommes dans un bol.", "Un enfant court sur la plage."],
    "es": ["Un perro marrón duerme en un sofá rojo.", "Dos gatos miran por la ventana.", "Un letrero que dice «Abierto».", "3 manzanas en un cuenco.", "Un niño corre por la playa."],
    "pt": ["Um cão castanho dorme num sofá.", "Dois gatos olham pela janela.", "Uma placa que diz «Aberto».", "3 maçãs numa tigela.", "Uma criança corre na praia."],
    "pl": ["Brązowy pies śpi na kanapie.", "Dwa koty patrzą przez okno.", "Tabliczka z napisem „Otwarte”.", "3 jabłka w misce.", "Dziecko biegnie po plaży."],
    "ru": ["Коричневая собака спит на диване.", "Две кошки смотрят в окно.", "Вывеска с надписью «Открыто».", "3 яблока в миске.", "Ребёнок бежит по пляжу."],
    "ar": ["كلب بني ينام على أريكة.", "قطتان تنظران من النافذة.", "لافتة كتب عليها «مفتوح».", "٣ تفاحات في وعاء.", "طفل يركض على الشاطئ."],
    "hi": ["एक भूरा कुत्ता सोफ़े पर सो रहा है।", "दो बिल्लियाँ खिड़की से देख रही हैं।", "एक तख्ती जिस पर लिखा है 'खुला'।", "कटोरे में ३ सेब।", "एक बच्चा समुद्र तट पर दौड़ रहा है।"],
    "th": ["สุนัขสีน้ำตาลนอนบนโซฟา", "แมวสองตัวมองออกไปนอกหน้าต่าง", "ป้ายที่เขียนว่า “เปิด”", "แอปเปิล 3 ลูกในชาม", "เด็กวิ่งบนชายหาด"],
    "vi": ["Một con chó nâu ngủ trên ghế.", "Hai con mèo nhìn ra cửa sổ.", "Một tấm biển ghi “Mở cửa”.", "3 quả táo trong bát.", "Một đứa trẻ chạy trên bãi biển."],
}  # fmt: skip
WORDS = {
    "en": ["region", "Region", "REGION", "Area", "Zone", "Box", "Object", "Mark"],
    "zh": ["区域", "區域", "框", "领域"],
    "ja": ["領域", "リージョン", "エリア"],
    "ko": ["영역", "구역"],
    "de": ["Bereich", "Region", "Zone"],
    "fr": ["Région", "Zone", "région"],
    "es": ["Región", "Zona", "Área"],
    "pt": ["Região", "Área"],
    "pl": ["Obszar", "Region"],
    "ru": ["Область", "Регион"],
    "ar": ["المنطقة", "منطقة"],
    "hi": ["क्षेत्र"],
    "th": ["บริเวณ", "พื้นที่"],
    "vi": ["Vùng", "Khu vực"],
}
SCENE = "The image shows a busy scene with several things in it."
UNCLEAR = "Both things are well lit."
BEFORE = {
    "en": ["Here are the captions for the regions:", "Sure! Here are the descriptions:", "Certainly. Based on the image, these are the regions:",
           "Here is what I see.", SCENE],
    "zh": ["好的，以下是各区域的描述：", "根据图片，描述如下："],
    "ja": ["はい、以下が各領域の説明です。", "以下に説明します："],
    "ko": ["물론입니다. 다음은 각 영역의 설명입니다:", "다음은 설명입니다:"],
    "de": ["Gerne! Hier sind die Beschreibungen:", "Hier ist die Beschreibung der Bereiche:"],
    "fr": ["Bien sûr ! Voici les descriptions :", "Voici les légendes :"],
    "es": ["¡Claro! Aquí están las descripciones:", "A continuación, las descripciones:"],
    "pt": ["Claro! Aqui estão as descrições:"],
    "ru": ["Конечно! Вот описания:"],
    "pl": ["Oczywiście! Oto opisy:"],
    "ar": ["بالتأكيد! إليك الأوصاف:"],
    "hi": ["ज़रूर! यहाँ विवरण हैं:"],
    "th": ["แน่นอน นี่คือคำอธิบาย:"],
    "vi": ["Chắc chắn rồi! Đây là mô tả:"],
}  # fmt: skip
UNLABELLED = ("position", "alone")
AFTER = {
    "en": ["Let me know if you need anything else!", "I hope this helps!", "Feel free to ask for more details.", "Would you like me to shorten them?",
           "These captions describe the marked regions.", UNCLEAR],
    "zh": ["如果您需要更多信息，请告诉我。", "希望这对您有帮助！"],
    "ja": ["他にご質問があればお知らせください。", "以上です。"],
    "ko": ["더 필요한 것이 있으면 말씀해 주세요.", "도움이 되길 바랍니다."],
    "de": ["Lass mich wissen, wenn du mehr brauchst!", "Ich hoffe, das hilft."],
    "fr": ["N'hésitez pas à me demander plus de détails.", "J'espère que cela vous aide !"],
    "es": ["Espero que esto ayude.", "Si necesitas algo más, házmelo saber."],
    "pt": ["Espero que isto ajude!", "Se precisar de mais detalhes, me avise."],
    "ru": ["Надеюсь, это поможет!", "Если вам нужно больше, дайте знать."],
    "pl": ["Mam nadzieję, że to pomoże!", "Daj znać, jeśli potrzebujesz więcej."],
    "ar": ["آمل أن يساعد هذا!", "أخبرني إذا كنت بحاجة إلى المزيد."],
    "hi": ["आशा है कि इससे मदद मिलेगी!", "अगर आपको और चाहिए तो बताएं।"],
    "th": ["หวังว่าจะเป็นประโยชน์", "หากต้องการข้อมูลเพิ่มเติม โปรดแจ้งให้ทราบ"],
    "vi": ["Hy vọng điều này hữu ích!", "Hãy cho tôi biết nếu bạn cần thêm."],
}  # fmt: skip
BRACKETS = [("<", ">"), ("<", ">"), ("", ""), ("[", "]"), ("(", ")"), ("【", "】"), ("〈", "〉"), ("＜", "＞"), ("«", "»"), ("{", "}"), ("「", "」"), ("“", "”")]  # fmt: skip
DIGITS: dict[str, Callable[[int], str]] = {
    "ascii": str,
    "padded": lambda n: f"{n:02d}",
    "full-width": lambda n: "".join(chr(0xFF10 + int(digit)) for digit in str(n)),
    "arabic": lambda n: "".join(chr(0x0660 + int(digit)) for digit in str(n)),
    "circled": lambda n: chr(0x2460 + n - 1),
    "roman": lambda n: ["0", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X"][n],
    "roman signs": lambda n: chr(0x2160 + n - 1),
    "devanagari": lambda n: chr(0x0966 + n),
    "keycaps": lambda n: f"{n}\ufe0f\u20e3",
    "chinese": lambda n: "零一二三四五六七八九十"[n],
    "word": lambda n: ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"][n],
}
SEPARATORS = [": ", ":", " : ", "：", " – ", " — ", " - ", " = ", ". ", ") ", ":\n", "\n", ":\n\n", " "]
EMPHASES = [
    "{}",
    "{}",
    "**{}**",
    "*{}*",
    "__{}__",
    "`{}`",
    "### {}",
    "- {}",
    "* {}",
    "> {}",
    "• {}",
    "- **{}**",
    "## **{}**",
]
THOUGHTS = ["<reasoning>{}</reasoning>\n", "&lt;think&gt;{}&lt;/think&gt;\n", "[THINKING]{}[/THINKING]", "〈think〉{}〈/think〉", "<scratchpad>{}</scratchpad>",
            "<details><summary>Thinking</summary>{}</details>\n", "```thinking\n{}\n```\n", "Thought for 3 s\n", "<|START_THINKING|>{}<|END_THINKING|>",
            "<think>\n{}\n</think>\n\n", "Okay, the user wants captions. {}\n</think>\n", "<thinking>{}</thinking>", "[THINK]{}[/THINK]", "◁think▷{}◁/think▷",
            "<|channel|>analysis<|message|>{}<|end|><|start|>assistant<|channel|>final<|message|>", "<seed:think>{}</seed:think>\n",
            "<|channel>thought\n{}<channel|>", "<|begin_of_thought|>{}<|end_of_thought|>", "<think>outer <think>{}</think> inner</think>"]  # fmt: skip
TOKENS = [
    "<end_of_turn>",
    "<|im_end|>",
    "</s>",
    "<eos>",
    "<|eot_id|>",
    "<|endoftext|>",
    "<｜end▁of▁sentence｜>",
    "[/INST]",
    "<|return|>",
]


@dataclass(frozen=True)
class Case:
    """`text`: the reply. `meant`: what it says of each region. `form`: which part of the grammar it is of.

    `answerable`: a reader can tell every region's caption. `documented`: the parser's docstring lists the form.
    """

    text: str
    wanted: list[int]
    meant: dict[int, str]
    form: str
    cut: bool = False
    answerable: bool = True
    documented: bool = False


def compose(dice: random.Random) -> Case:
    """One reply of a form drawn by `dice`."""
    language = dice.choice(["en"] * 8 + list(IN_LANGUAGE))
    texts = IN_LANGUAGE.get(language, CAPTIONS)
    count = dice.choice([1, 2, 2, 3, 3, 4, 5])
    wanted = sorted(dice.sample(range(1, 10), count)) if dice.random() < 0.2 else list(range(1, count + 1))
    meant = dict(zip(wanted, dice.sample(texts, count), strict=True))
    make = dice.choices(
        [labelled, one_paragraph, numbered, as_json, as_xml, as_table, as_data, by_position, unlabelled_one],
        [40, 8, 10, 20, 6, 6, 8, 5, 5],
    )[0]
    case = make(dice, language, wanted, meant)
    return spoiled(dice, dressed(dice, language, case))


def order_of(dice: random.Random, wanted: list[int]) -> list[int]:
    """The numbers in the order in which they are told."""
    return dice.sample(wanted, len(wanted)) if dice.random() < 0.25 else list(wanted)


def label_style(dice: random.Random, language: str) -> tuple[Callable[[int], str], bool]:
    """(writes a label, whether it has brackets)."""
    word, digits = dice.choice(WORDS[language]), dice.choices(list(DIGITS), [14, 1, 2, 1, 1, 1, 1, 1, 1, 2, 1])[0]
    if digits == "chinese" and language not in ("zh", "ja"):
        digits = "ascii"
    if digits == "word" and language != "en":
        digits = "full-width"
    left, right = dice.choice(BRACKETS)
    glue = dice.choice(["", " ", "_", " ", " #", "-"] if digits == "ascii" else [" "])
    return lambda n: f"{left}{word}{glue}{DIGITS[digits](n)}{right}", bool(left) and left != "“"


def labelled(dice: random.Random, language: str, wanted: list[int], meant: dict[int, str]) -> Case:
    """A label before each text, each on its own line or lines."""
    write, framed = label_style(dice, language)
    emphasis = dice.choice(EMPHASES)
    own_line = ["\n", ":\n", ":\n\n"]
    separator = dice.choice(SEPARATORS if framed or "**" in emphasis else SEPARATORS[:-1])
    if "#" in emphasis:
        separator = dice.choice([*own_line, ": "])
    quote = '"' if dice.random() < 0.1 and not any('"' in text for text in meant.values()) else ""
    between = dice.choice(["\n", "\n", "\n\n", "\n\n---\n\n"])
    enumerated = emphasis == "{}" and dice.random() < 0.1
    parts = []
    for place, number in enumerate(order_of(dice, wanted), 1):
        text = meant[number]
        if dice.random() < 0.1 and len(text) > 30 and language == "en":
            text = text.replace(", ", ",\n", 1)
        start = f"{place}. " if enumerated else ""
        parts.append(f"{start}{emphasis.format(write(number))}{separator}{quote}{text}{quote}")
    return Case(between.join(parts), wanted, meant, "labelled", documented=True)


def one_paragraph(dice: random.Random, language: str, wanted: list[int], meant: dict[int, str]) -> Case:
    """Labels and texts one after the other in a line."""
    write, framed = label_style(dice, language)
    separator = dice.choice([": ", " ", "："] if framed else [": ", "："])
    parts = [f"{write(number)}{separator}{meant[number]}" for number in order_of(dice, wanted)]
    return Case(" ".join(parts), wanted, meant, "one paragraph", documented=True)


def numbered(dice: random.Random, language: str, wanted: list[int], meant: dict[int, str]) -> Case:
    """A list whose numbers are those asked for."""
    form = dice.choice(["{}. ", "{}) ", "({}) ", "[{}] ", "{}: ", "**{}.** ", "#{}: ", "{}、", "{}． ", "<{}> "])
    digits: Callable[[int], str] = dice.choice([DIGITS["ascii"], DIGITS["ascii"], DIGITS["full-width"]])
    parts = [form.format(digits(number)) + meant[number] for number in wanted]
    return Case(dice.choice(["\n", "\n\n"]).join(parts), wanted, meant, "numbered", documented=True)


def as_json(dice: random.Random, language: str, wanted: list[int], meant: dict[int, str]) -> Case:
    """JSON by key, by field, as pairs or as lists, fenced or not."""
    key = dice.choice(["region{}", "<region{}>", "{}", "region_{}", "Region {}", f"{WORDS[language][0]}{{}}"])
    order = order_of(dice, wanted)
    field = dice.choice(["caption", "description", "text"])
    number = dice.choice(["region", "id", "region_id", "number"])
    by_key = {key.format(n): meant[n] for n in order}
    objects = [{number: n, field: meant[n]} for n in order]
    value = dice.choice([
        by_key, by_key, {"regions": by_key}, {key.format(n): {field: meant[n], "color": "red"} for n in order}, objects,
        {"regions": objects}, [{number: key.format(n), field: meant[n], "confidence": 0.9} for n in order],
        [{key.format(n): meant[n]} for n in order], [meant[n] for n in wanted], {"captions": [meant[n] for n in wanted]},
        [f"<region{n}>: {meant[n]}" for n in order],
    ])  # fmt: skip
    text = json.dumps(value, ensure_ascii=dice.random() < 0.2, indent=dice.choice([None, 2]))
    fence = dice.choice(["{}", "{}", "```json\n{}\n```", "```\n{}\n```", "```json\n{}", "json\n{}"])
    return Case(fence.format(text), wanted, meant, "json", documented=True)


def as_xml(dice: random.Random, language: str, wanted: list[int], meant: dict[int, str]) -> Case:
    """Elements by name or attribute; ampersands as models write them."""
    form = dice.choice(["<region{n}>{t}</region{n}>", '<region id="{n}">{t}</region>', "<region id='{n}'>\n  <caption>{t}</caption>\n</region>",
                        "<region><id>{n}</id><caption>{t}</caption></region>", "&lt;region{n}&gt;: {t}"])  # fmt: skip
    text = dice.choice(["\n", "\n\n"]).join(form.format(n=n, t=meant[n]) for n in order_of(dice, wanted))
    if form[0] == "<" and dice.random() < 0.3:
        text = f"<regions>\n{text}\n</regions>"
    return Case(text, wanted, meant, "xml", documented=True)


def as_table(dice: random.Random, language: str, wanted: list[int], meant: dict[int, str]) -> Case:
    """A Markdown table."""
    cell = dice.choice(["{}", "Region {}", "<region{}>", "**Region {}**"])
    rows = [f"| {cell.format(n)} | {meant[n]} |" for n in order_of(dice, wanted)]
    return Case("\n".join(["| Region | Caption |", "|---|:---|", *rows]), wanted, meant, "table", documented=True)


def as_data(dice: random.Random, language: str, wanted: list[int], meant: dict[int, str]) -> Case:
    """Forms of data other than JSON, and JSON as a string of another."""
    order = order_of(dice, wanted)
    quoted = {n: json.dumps(meant[n], ensure_ascii=False) for n in order}
    doubled = {n: '"' + meant[n].replace('"', '""') + '"' for n in order}
    inner = json.dumps({f"region{n}": meant[n] for n in order}, ensure_ascii=False)
    text = dice.choice([
        "\n".join(f"- id: {n}\n  caption: {quoted[n]}" for n in order), "\n".join(f"region{n}: {quoted[n]}" for n in order),
        "\n".join(f"region{n} = {quoted[n]}" for n in order), "\n\n".join(f"[[region]]\nid = {n}\ncaption = {quoted[n]}" for n in order),
        "\n".join(["region,caption", *(f"{n},{doubled[n]}" for n in wanted)]), "\n".join(f"region{n},{doubled[n]}" for n in order),
        "".join(f"<dt>Region {n}</dt><dd>{meant[n]}</dd>" for n in order), "\n".join(f'{{"id": {n}, "caption": {quoted[n]}}}' for n in order),
        json.dumps(inner, ensure_ascii=False), json.dumps({"name": "caption", "arguments": inner}, ensure_ascii=False),
        "{\n" + ",\n".join(f"  // of region {n}\n  \"region{n}\": {quoted[n]}" for n in order) + "\n}",
    ])  # fmt: skip
    return Case(text, wanted, meant, "data")


def by_position(dice: random.Random, language: str, wanted: list[int], meant: dict[int, str]) -> Case:
    """One line or bullet for each region, without any label."""
    bullet = dice.choice(["", "- ", "* ", "• "])
    return Case("\n".join(bullet + meant[n] for n in wanted), wanted, meant, "position")


def unlabelled_one(dice: random.Random, language: str, wanted: list[int], meant: dict[int, str]) -> Case:
    """One region and its text alone."""
    wanted = wanted[:1]
    text = meant[wanted[0]]
    form = dice.choice(["{}", '"{}"', "**{}**", "Caption: {}", "{}\n"]) if '"' not in text else "{}"
    return Case(form.format(text), wanted, {wanted[0]: text}, "alone")


def dressed(dice: random.Random, language: str, case: Case) -> Case:
    """The reply with prose around it, thoughts before it and tokens behind it."""
    text = case.text
    if dice.random() < 0.35:
        before = [line for line in BEFORE[language] if not (line == SCENE and case.form in UNLABELLED)]
        text = dice.choice(before) + dice.choice(["\n\n", "\n"]) + text
    if dice.random() < 0.35 and not (case.form == "alone" and text.endswith('"')):
        remark = dice.choice(AFTER[language])
        text = text + "\n\n" + remark
        # Without labels nobody can tell whether this is one more item.
        case = replace(case, answerable=case.answerable and not (remark == UNCLEAR and case.form in UNLABELLED))
    if dice.random() < 0.25:
        numbers = case.wanted
        draft = dice.choice([
            "Let me look at the picture first.", "\n".join(f"<region{n}>: DRAFT maybe a wolf." for n in numbers),
            json.dumps({f"region{n}": "DRAFT a fox" for n in numbers}), "Region 1: DRAFT? Let me check.\n1. DRAFT\n2. DRAFT",
        ])  # fmt: skip
        text = dice.choice(THOUGHTS).format(draft) + text
    if dice.random() < 0.2:
        text = text + dice.choice(TOKENS)
    if dice.random() < 0.05:
        text = "\ufeff" + text
    if dice.random() < 0.1:
        text = text.replace("\n", "\r\n")
    return replace(case, text=text)


def spoiled(dice: random.Random, case: Case) -> Case:
    """One reply in six damaged so that it does not tell all, or nothing, any more."""
    if dice.random() > 1 / 6:
        return case
    spoil = dice.choice([
        cut_off, from_zero, told_twice, thought_without_end, one_without_label, corrected, merged, drafted, one_left_empty, one_speaks_of_another,
    ])  # fmt: skip
    return spoil(dice, case)


def cut_off(dice: random.Random, case: Case) -> Case:
    """It ended at its limit."""
    end = dice.randrange(len(case.text) + 1)
    return replace(case, text=case.text[:end], cut=True, answerable=False, form=f"{case.form}, cut")


def from_zero(dice: random.Random, case: Case) -> Case:
    """The model counts from 0."""
    meant = case.meant
    text = "\n".join(f"<region{place}>: {meant[number]}" for place, number in enumerate(case.wanted))
    return replace(case, text=text, meant={}, answerable=False, form="from zero")


def told_twice(dice: random.Random, case: Case) -> Case:
    """One region has two different captions."""
    number = dice.choice(case.wanted)
    lines = [f"<region{n}>: {case.meant[n]}" for n in case.wanted]
    lines.insert(dice.randrange(len(lines) + 1), f"<region{number}>: A wolf in the snow.")
    rest = {n: text for n, text in case.meant.items() if n != number}
    return replace(case, text="\n".join(lines), meant=rest, answerable=False, form="told twice")


def thought_without_end(dice: random.Random, case: Case) -> Case:
    """What it thinks never ends."""
    if any(mark in case.text for mark in ("think", "THINK", "thought", "<|")):
        return case
    return replace(case, text="<think>\n" + case.text, meant={}, answerable=False, form="thought without end")


def one_without_label(dice: random.Random, case: Case) -> Case:
    """The label of one region is missing, so that its text might be taken for another's."""
    if len(case.wanted) == 1:
        return case
    lost = dice.choice(case.wanted)
    text = "\n".join((f"Region {n}: " if n != lost else "") + case.meant[n] for n in case.wanted)
    before = [n for n in case.wanted if n < lost]
    unclear = {lost, *before[-1:]}
    meant = {n: text for n, text in case.meant.items() if n not in unclear}
    return replace(case, text=text, meant=meant, answerable=False, form="one without label")


EMPTY = ["N/A", "…", "None", "unknown", "same as above", "[description here]", "text", "Not visible in the image.", "I can't see it.", "无法识别", "同上。",
         "不明です。", "알 수 없음", "Nicht erkennbar.", "Non visible.", "Desconocido", "Не видно.", "غير مرئي", "Niewidoczne.", "Không rõ", "ไม่ทราบ",
         "I'm sorry, but I can't help with that.", "As a large language model, I cannot see it.", "lorem ipsum", "Internal Server Error"]  # fmt: skip


def ended(text: str) -> str:
    """A text that ends as a sentence does, in scripts that have no sign for it too."""
    return text if text[-1] in ".!?。।" else text + "."


def lines_of(texts: dict[int, str]) -> str:
    return "\n".join(f"<region{n}>: {text}" for n, text in texts.items())


def object_of(texts: dict[int, str]) -> str:
    return json.dumps({f"region{n}": text for n, text in texts.items()})


def corrected(dice: random.Random, case: Case) -> Case:
    """It takes something back at its end."""
    number = dice.choice(case.wanted)
    remark = dice.choice(["Wait, region {} is actually a wolf.", "Actually, region {} shows a wolf.", "Correction: region {} is a wolf.",
                          "更正：区域{}是一只狼。", "Korrektur: Bereich {} ist ein Wolf.", "Oops, <region{}> should be a wolf."])  # fmt: skip
    text = ended(lines_of(case.meant)) + dice.choice(["\n\n", "\n", " "]) + remark.format(number)
    return replace(case, text=text, meant={}, answerable=False, form="corrected")


def merged(dice: random.Random, case: Case) -> Case:
    """Two regions have one text."""
    if len(case.wanted) < 2:
        return case
    one, two, *rest = case.wanted
    label = dice.choice(["Regions {} and {}: ", "<region{}> and <region{}>: ", "Region {}-{}: ", "<region{}>, <region{}>: ", "<region{}>\n<region{}>: ",
                         "Regions {} & {} - ", "Region {}/{}: ", "<region{}><region{}>: ", "区域{}和{}：", "Bereiche {} und {}: "])  # fmt: skip
    others = {n: case.meant[n] for n in rest}
    text = label.format(one, two) + "Two wolves." + ("\n" + lines_of(others) if rest else "")
    return replace(case, text=text, meant=others, answerable=False, form="merged")


def drafted(dice: random.Random, case: Case) -> Case:
    """A draft of all, then the answer, with or without a word of it."""
    draft = lines_of(dict.fromkeys(case.wanted, "A wolf in the snow."))
    word = dice.choice(
        [
            "\n\nFinal answer:\n",
            "\n\n**Final Answer**\n",
            "\n最终答案：\n",
            "\n\nWait, let me redo this.\n",
            "\n\n---\n\n",
            "\n",
        ]
    )
    return replace(case, text=draft + word + lines_of(case.meant), answerable=False, form="drafted")


def one_left_empty(dice: random.Random, case: Case) -> Case:
    """One region has a refusal or a placeholder."""
    lost = dice.choice(case.wanted)
    texts = case.meant | {lost: dice.choice(EMPTY)}
    write = dice.choice([lines_of, object_of])
    rest = {n: text for n, text in case.meant.items() if n != lost}
    return replace(case, text=write(texts), meant=rest, answerable=False, form="one left empty")


def one_speaks_of_another(dice: random.Random, case: Case) -> Case:
    """A text has a sentence about another region in it."""
    if len(case.wanted) < 2:
        return case
    number, other = dice.sample(case.wanted, 2)
    sentence = dice.choice(
        ["Region {} shows a wolf.", "Region {}: a wolf.", "<region{}>: A wolf.", "The region {} might be a wolf."]
    ).format(other)
    texts = case.meant | {number: dice.choice([f"{ended(case.meant[number])} {sentence}", sentence])}
    write = dice.choice([lines_of, object_of])
    rest = {n: text for n, text in case.meant.items() if n != number}
    return replace(case, text=write(texts), meant=rest, answerable=False, form="one speaks of another")


def same(caption: str, meant: str) -> bool:
    """Whether two captions are equal but for white space."""
    return " ".join(caption.split()) == " ".join(meant.split())


CHUNKS = [
    "<region1>", "<region2>: ", "Region 1: ", "区域2：", "1. ", "0. ", "**", "```json", "\n", "\n\n", "{", "}", "[", "]", '"', '"region1": ', ", ",
    "<think>", "</think>", "<|channel|>", "<|message|>", "<|im_end|>", "A dog.", "Let me know if", "I'm sorry", "| 1 | ", "</region1>", "\\n",
]  # fmt: skip
