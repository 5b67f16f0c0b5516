# ruff: noqa: RUF001 - signs of other scripts are meant here.
"""Flags: what is said against captions, counted, written beside them, and cured."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.errors import InvalidArgument

import regioncap.output.caption_flags
from regioncap.captioners.reading.mark_mentions import PHRASES, has_stem, mentions_mark
from regioncap.output.caption_flags import FLAGS, MEANINGS, flags_of, refuses, repeats
from tests.support.photos import write_photo
from tests.support.rows import BOX, read_rows, write_rows
from tests.support.runs import Run

MARKS = [
    "A green rectangle with the number 3.",
    "The region marked with a red box shows a dog.",
    "A dog outlined in red.",
    "<region2> a dog",
    "Region 3 contains a cat.",
    "The bounding box shows a cat.",
    "a yellow box labeled 2 around a bird",
    "The person in the red box is smiling.",
    "the area highlighted with a blue outline",
    "A cat inside the green rectangle.",
    "The numbered box contains a car.",
    "The object labeled 5 is a cup.",
    "红色矩形框，数字3",
    "绿色框内有一只狗。",
    "区域2显示一只猫。",
    "赤い枠で囲まれた犬。",
    "領域3には猫がいる。",
    "빨간색 사각형 안에 있는 개.",
    "영역 2는 고양이입니다.",
    "Ein rotes Rechteck mit der Nummer 3.",
    "Der rot umrandete Hund.",
    "Bereich 2 zeigt eine Katze.",
    "Un rectangle vert avec le numéro 3.",
    "Le chien encadré en rouge.",
    "Un recuadro rojo con el número 3.",
    "La persona resaltada en azul.",
    "The red rectangle labeled 2 shows a dog.",
    'The red rectangle labelled "2".',
    "A dog in marked area 4.",
    "The marked area 4 contains a tree.",
    "Marked region 3 is a chair.",
    "The area marked 4 is a window.",
    "The box numbered 3 contains a dog.",
    "Box 3 shows a man.",
    "The bounding box labeled 1 surrounds a car.",
    "a person highlighted by a green bounding box",
    "The object in the green box is a lamp.",
    "The item within the blue frame is a cup.",
    "The highlighted region shows a road.",
    "The highlighted area contains a bench.",
    "The marked region contains two people.",
    "This region shows a tall building.",
    "The boxed area shows a sign.",
    "A chair, enclosed in a red box.",
    "A man surrounded by a red outline.",
    "A bird with a blue bounding box around it.",
    "A dog with a red box around it and the number 3.",
    "The number 3 in the top left corner of the box.",
    "a cyan rectangle with the digit 5 on it",
    "A cup outlined with a thin magenta rectangle.",
    "The red-bordered area is a door.",
    "Numbered marker 2 points at a bird.",
    "The image region labelled 5.",
    "Region #2",
    "region_3",
    "A dog (region 2) sleeps.",
    "The dog marked with number 2.",
    'The person labeled as "4" wears a hat.',
    "Person number 3 as marked in the image.",
    "A red square marks a dog.",
    "The rectangle marked 1 frames a window.",
    "The green rectangle highlights a car.",
    "The blue box highlights a bird.",
    "红色矩形框内的一只狗",
    "红框中的狗",
    "红框内有一个人。",
    "标记为3的区域是一只猫",
    "标号为2的物体",
    "编号3的区域",
    "区域3是一辆车",
    "该区域显示一棵树",
    "框中的物体是杯子",
    "框选的区域是一扇门",
    "图中标记的区域是一个人",
    "边界框内有一只狗",
    "绿色方框标注的狗",
    "被红色框圈出的猫",
    "数字1标记的人",
    "第2个框里是一只鸟",
    "紅色框內的狗",
    "編號為3的區域",
    "赤い枠の中の犬",
    "赤い枠で囲まれた人",
    "赤い枠",
    "赤枠内の猫",
    "番号3の領域",
    "領域3の犬",
    "3番の枠の中に犬がいる。",
    "数字の2が付いた青い枠",
    "青い四角で囲まれた車",
    "マークされた領域",
    "バウンディングボックス内の犬",
    "枠内の人物",
    "빨간 상자 안의 개",
    "빨간색 상자로 표시된 사람",
    "빨간 테두리 안에 있는 고양이",
    "숫자 3이 적힌 파란 사각형",
    "번호 3이 표시된 영역",
    "영역 3의 개",
    "표시된 영역에는 나무가 있다.",
    "3번 영역",
    "초록색 박스 안의 자동차",
    "바운딩 박스 안의 개",
    "im roten Rahmen mit der Nummer 3",
    "Der Hund im roten Rahmen.",
    "Das rote Rechteck mit der Zahl 2.",
    "Rote Umrandung mit der Nummer 1.",
    "Der markierte Bereich zeigt ein Haus.",
    "Der mit 3 markierte Bereich.",
    "Bereich Nummer 4 zeigt einen Baum.",
    "Die grün umrandete Person.",
    "Die Person im blauen Kasten.",
    "Ein Hund, von einem roten Kasten umgeben.",
    "Im hervorgehobenen Bereich steht ein Auto.",
    "Begrenzungsrahmen um ein Auto.",
    "Das mit der Nummer 2 gekennzeichnete Objekt.",
    "le cadre rouge numéro 2",
    "Le chien dans le cadre rouge.",
    "La zone marquée 3 montre une maison.",
    "La zone encadrée en rouge.",
    "Le rectangle rouge contient un chien.",
    "La région 2 montre un arbre.",
    "La zone numéro 4.",
    "L'objet encadré en vert.",
    "Le numéro 3 dans le rectangle bleu.",
    "La boîte englobante entoure une voiture.",
    "La zone mise en évidence montre un banc.",
    "l'objet étiqueté 5",
    "el cuadro rojo número 2",
    "El perro en el recuadro rojo.",
    "La zona marcada con el número 3.",
    "La región 2 muestra un árbol.",
    "El área resaltada contiene una silla.",
    "El rectángulo verde contiene un perro.",
    "La persona dentro del recuadro azul.",
    "El objeto etiquetado como 5.",
    "La caja delimitadora rodea un coche.",
    "El número 3 dentro del rectángulo rojo.",
    "la zona número 4",
]
NO_MARKS = [
    "A green box of tea on a shelf.",
    "A red box with a ribbon.",
    "A player with the number 3 on his jersey.",
    "A picture in a black frame.",
    "A wooden door framed by ivy.",
    "The region around the lake is green.",
    "A bus number 12 on its way.",
    "A square with 3 trees.",
    "A road marked with white lines.",
    "A man in a red shirt sits in the box office.",
    "A red car surrounded by a white fence.",
    "A clock with roman numerals.",
    "一个红色的盒子放在桌上。",
    "墙上的黑色相框。",
    "3号公交车。",
    "赤い箱の上の猫。",
    "빨간 상자 위의 고양이.",
    "Ein Bild in einem schwarzen Rahmen.",
    "Haus Nummer 3.",
    "Un tableau dans un cadre noir.",
    "Une zone 30 en ville.",
    "Una caja roja sobre la mesa.",
    "Un cartel del Área 51.",
    "A football player with number 3 on his jersey.",
    "The number 10 on the back of the shirt.",
    "A red box of chocolates on the table.",
    "A blue box next to a laptop.",
    "Box 5 of the tax form is filled in.",
    "A form with box 5 checked.",
    "A man opens a red box.",
    "A cat sits in the red box.",
    'A cardboard box labeled "fragile".',
    "A box marked FRAGILE with the number 12.",
    "A shipping box labeled 24 pieces.",
    "A locker numbered 12.",
    "A house with the number 3 on the door.",
    "Bus number 12.",
    "A red square on a Rubik's cube.",
    "A painting of a red rectangle on a white canvas.",
    "A picture frame with a red border.",
    "A window framed by green shutters.",
    "A red frame hangs on the wall.",
    "A bicycle with a red frame.",
    "A pair of glasses with a blue frame.",
    "The red outline of a heart on a card.",
    "A sign with a red border and the number 30.",
    "A speed limit sign with a red circle and the number 50.",
    "A road marked with yellow lines.",
    "A trail marked with red paint.",
    'A bottle labeled "2 liters".',
    "A jar labeled with the number 7.",
    "A race car marked with the number 44.",
    "A runner tagged with number 1234.",
    "A person highlighted by the sun.",
    "A region of rocky hills.",
    "The area around the lake.",
    "The black box of an airplane.",
    "A yellow box of crayons.",
    "A player in the penalty box.",
    "A child inside the box.",
    "A dog inside a red box made of wood.",
    "A TV box with a blue border.",
    "A green square in the park of the city.",
    "A page marked with a red ribbon.",
    "A map with the region highlighted in red.",
    "A tree outlined against the sky.",
    "A hill outlined by the setting sun.",
    "A gift box with the number 3 on it.",
    "Area 51 warning sign.",
    "Zone 2 parking sign.",
    "An orange traffic cone on lane 3.",
    "A tennis player wearing number 7.",
    "A numbered ticket from a machine.",
    "A plate with the numbers 1 2 3.",
    "A wooden crate marked 12.",
    "A football numbered 5.",
    "A phone booth with a red frame in the rain.",
    "The man in the black frame glasses.",
    "A white tab on a soda can.",
    "A calendar with 3 circled in red.",
    "A word highlighted in yellow in a book.",
    "Text highlighted in yellow.",
    "A path outlined in white on the pitch.",
    "A person outlined in chalk.",
    "The 3rd box from the left on the shelf.",
    "A crossword with a marked square.",
    "A hopscotch court with squares numbered 1 to 8.",
    "A parking space marked 12.",
    "A box with 3 apples.",
    "一个穿3号球衣的球员",
    "一盒红色的巧克力",
    "红色的盒子",
    "桌上的红色礼盒",
    "墙上的红色相框",
    "写着数字3的门牌",
    "一个标有数字7的球",
    "一个标有“5”的箱子",
    "第3个窗户",
    "黑框眼镜",
    "戴着红框眼镜的女人",
    "窗框里的猫",
    "一个红色方形的枕头",
    "地区的风景",
    "门框内站着一个人",
    "3号区域的停车场标志",
    "赤い箱に入ったチョコレート",
    "赤い枠の眼鏡",
    "背番号3の選手",
    "番号が書かれたドア",
    "窓枠の猫",
    "四角い青いテーブル",
    "青い四角いクッション",
    "黒い額縁",
    "빨간 상자에 든 초콜릿",
    "빨간 상자 안에 든 초콜릿",
    "빨간 상자 하나",
    "등번호 3번 선수",
    "숫자 5가 적힌 문",
    "빨간 테두리 안경",
    "상자에 숫자 3이 적혀 있다.",
    "테두리가 빨간 접시",
    "Ein Spieler mit der Nummer 3 auf dem Trikot.",
    "Eine rote Schachtel Pralinen.",
    "Ein Bild in einem roten Rahmen.",
    "Ein Fahrrad mit rotem Rahmen.",
    "Eine Brille mit blauem Rahmen.",
    "Ein roter Kasten Bier.",
    "Haus mit der Nummer 12.",
    "Der Bereich um den See.",
    "Ein mit roter Farbe markierter Weg.",
    "Ein gelb markierter Text.",
    "Ein blauer Kasten mit Werkzeug.",
    "Ein rotes Quadrat auf einer Fahne.",
    "Un joueur avec le numéro 3 sur son maillot.",
    "Une boîte rouge de chocolats.",
    "Un cadre rouge accroché au mur.",
    "Un vélo au cadre rouge.",
    "Une photo dans un cadre rouge.",
    "La zone autour du lac.",
    "Un bus numéro 12.",
    "Un carré de chocolat.",
    "Une porte avec le numéro 3.",
    "Une carte marquée en rouge.",
    "Des lunettes à monture rouge.",
    "Un jugador con el número 3 en la camiseta.",
    "Una caja roja de bombones.",
    "Un cuadro rojo en la pared.",
    "Una caja con el número 5.",
    "Una zona de montaña.",
    "Una bicicleta con cuadro rojo.",
    "Una región de montañas.",
    "Un autobús número 12.",
    "Una puerta con el número 3.",
    "Un texto marcado en rojo.",
]


@pytest.mark.parametrize("caption", MARKS)
def test_captions_that_mention_the_marks(caption: str) -> None:
    assert mentions_mark(caption)


@pytest.mark.parametrize("caption", NO_MARKS)
def test_captions_of_boxes_and_numbers_in_the_picture(caption: str) -> None:
    assert not mentions_mark(caption)


def ascii_phrases() -> st.SearchStrategy[str]:
    """Texts that the patterns find, of those that can find ASCII texts."""
    strategies = []
    for phrase in PHRASES:
        strategy = st.from_regex(re.compile(phrase, re.IGNORECASE), alphabet=st.characters(codec="ascii"))
        with contextlib.suppress(InvalidArgument):  # it holds letters beyond ASCII
            strategy.validate()
            strategies.append(strategy)
    return st.one_of(strategies)


@settings(max_examples=300, deadline=None)
@given(ascii_phrases())
def test_what_is_found_has_a_stem(phrase: str) -> None:
    assert has_stem(phrase)


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("I'm sorry, but I can't help with that.", True),
        ("As an AI language model I see nothing.", True),
        ("The text cannot be determined.", True),
        ("Please provide the image.", True),
        ("A person who cannot swim.", False),
        ("A sorry-looking dog.", False),
        ("A sign that says: please close the gate", False),
    ],
)
def test_refusals(caption: str, expected: bool) -> None:
    assert refuses(caption) == expected


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("the the the the", True),
        ("a dog and a cat and a cat and a cat and a cat", True),
        ("It is a tall tree. It is a tall tree. It is a tall tree.", True),
        ("哈" * 20, True),
        ("A very, very big dog", False),
        ("red and white and red and white stripes", False),
        ("", False),
    ],
)
def test_repetitions(caption: str, expected: bool) -> None:
    assert repeats(caption) == expected


def test_flags_of_a_row_are_parallel_to_its_captions() -> None:
    assert flags_of([]) == []
    assert flags_of(["A dog on a lawn.", "a dog, on a LAWN", "A dog.", "一只棕色的狗"]) == [
        ["duplicate_in_row"],
        ["duplicate_in_row"],
        ["too_short"],
        [],
    ]
    assert set(MEANINGS) == set(FLAGS)


def test_a_hundred_thousand_characters_are_flagged_like_a_few() -> None:
    # A rule that takes quadratic time would be at it for hours.
    texts = ["box with ", "i cannot ", "1 2 3 ", "<region"]
    assert flags_of([text * 15_000 for text in texts]) == flags_of([text * 15 for text in texts])


# --- in a run


def test_flags_are_written_and_counted_and_rows_without_stay_as_they_were(
    project: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = {0: "A dog.", 1: "I'm sorry, but I can't say."}
    plain = "A plain grey wall behind a table."
    monkeypatch.setattr("regioncap.captioners.pixels.describe", lambda picture, box, *size: said.get(box[0], plain))
    write_rows(project / "photos.jsonl", [{"image": f"photo{n}.png", "bbox": [[n, *BOX[1:]]]} for n in range(5)])
    summary = run(project)
    metas = [row["meta_info"] for row in read_rows(project / "out.jsonl")]
    assert [meta.get("flags") for meta in metas] == [[["too_short"]], [["refusal"]], None, None, None]
    assert summary.flags == {"refusal": 1, "too_short": 1}


def test_changed_rules_only_write_again(project: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run(project)
    monkeypatch.setattr("regioncap.output.join.FLAGS_VERSION", regioncap.output.caption_flags.FLAGS_VERSION + 1)
    monkeypatch.setattr("regioncap.output.join.flags_of", lambda captions: [["repeats"] for _ in captions])
    summary = run(project)
    assert summary.captions_asked == 0
    assert summary.flags == {"repeats": summary.regions}
    assert all(set(map(tuple, row["meta_info"]["flags"])) == {("repeats",)} for row in read_rows(project / "out.jsonl"))


def test_parts_count_flags_too(project: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("regioncap.captioners.pixels.describe", lambda *args: "A dog.")
    write_photo(project / "photo0.png", 0)
    summary = run(project, output=f"{project}/out/", max_boxes=1)
    assert summary.flags == {"too_short": summary.regions}
