# ruff: noqa: RUF001 - brackets, separators and words of many scripts are meant here.
"""How labels of regions are written: the patterns that `labels` matches, for text in small letters.

All of them are matched at one place and have a length, so that the work grows with the text and not faster. They are
written without `re.IGNORECASE`: with it, each of the words costs ten times as much to rule out.
"""

from __future__ import annotations

import re

from regioncap.captioners.reading.lazy_pattern import lazy_pattern
from regioncap.captioners.reading.numerals import NUMBER, ORDINAL, either

WORDS = (
    "bounding box", "image region", "region", "area", "zone", "box", "bbox", "object", "item", "mark", "marker",
    "label", "segment", "section", "part", "patch", "crop", "roi", "frame", "rectangle", "subject", "entity",
    "element", "caption", "description", "mask", "tag", "annotation", "number", "id", "index", "region of interest",
    "marked region", "highlighted region", "区域", "區域", "区块", "區塊", "领域", "領域", "地区", "地區", "框",
    "方框", "矩形框", "边界框", "框选区域", "图中区域", "物体", "物體", "对象", "對象", "目标", "目標", "标记",
    "標記", "编号", "編號", "部分", "物件", "標註", "标注", "リージョン", "地域", "エリア", "範囲", "ボックス",
    "枠", "オブジェクト", "マーク", "対象", "番号", "영역", "구역", "지역", "박스", "상자", "객체", "물체", "번호",
    "리전", "부분", "bereich", "gebiet", "zone", "region", "kasten", "rahmen", "objekt", "abschnitt", "ausschnitt",
    "teil", "région", "zone", "boîte", "cadre", "objet", "encadré", "partie", "región", "área", "zona", "recuadro",
    "caja", "cuadro", "objeto", "marca", "sección", "sector", "parte", "regione", "riquadro", "oggetto", "região",
    "caixa", "seção", "quadro", "область", "регион", "зона", "объект", "рамка", "участок", "область №", "regio",
    "gebied", "vak", "obszar", "oblast", "område", "alue", "bölge", "vùng", "wilayah", "daerah", "kawasan",
    "منطقة", "المنطقة", "क्षेत्र", "περιοχή", "ภูมิภาค", "บริเวณ", "บริเวณที่", "พื้นที่", "พื้นที่ที่",
    "ภาพที่", "אזור", "khu vực", "vùng số", "región no",
    "bereiche", "regionen", "zonen", "objekte", "régions", "regiones", "zonas", "objetos", "regioni", "regiões",
    "области", "регионы", "объекты", "obszary", "oblasti", "regiony", "obiekt", "ramka", "ramki",
    "المناطق", "क्षेत्रों",
)  # fmt: skip
"""What models call a region."""

WORD = rf"(?:{either(word.replace(' ', '[ _]') for word in WORDS)}s?|r(?=\d{{1,3}}[\]>)}}*_:： ]{{0,4}}[:：=.)]))"
LEFT, RIGHT = r"<＜〈《«‹⟨\[［(（【〔〖{｛「『", r">＞〉》»›⟩\]］)）】〕〗}｝」』"
BRACKETS = LEFT + RIGHT
QUOTES = "\"“”„'‘’`"

# What stands before a label: bullets, emphasis, signs, a number of a list, an article.
_SIGN = rf"(?:[^\w\n{BRACKETS}{QUOTES}]|[_`]|>(?=\s))"
_SIGNS = rf"{_SIGN}{{0,16}}+"
_LISTED = rf"(?:\(?\d{{1,3}}(?:[.)）、:]|\ufe0f?\u20e3)(?=[\s*_`{BRACKETS}{QUOTES}]|[^\W\d]){_SIGNS})?"
_ARTICLE = (
    r"(?:(?:in|for|the|within|inside|about|regarding|dans|pour|la|le|les|im|in der|für|der|die|das|en|el|para|"
    rf"per|nella|nel|na|no|a|o|в|на)(?:(?![^\W_])\s{{0,2}}|(?={WORD}))|l['’]|(?:图片|图像|图中|图|画像|在|的|对于|"
    rf"對於)\s{{0,2}}|"
    r"(?:caption|description|beschreibung|légende|descripción|descrizione)\s(?:for|of|von|für|de|di|para)\s)"
)
_OPEN = rf"(?P<open>(?:[{LEFT}{QUOTES}*_~]\s?){{0,6}}+)"
_KEY = r"(?:(?:name|title|key|tag|label)[\"']?\s?[:=]\s?)?"
_BEGIN = rf"{_SIGNS}{_LISTED}{_KEY}{_ARTICLE}{{0,3}}+{_OPEN}{_ARTICLE}{{0,2}}+"

# What stands between its word and its number, and behind them.
_GLUE = (
    r"(?P<glue>(?:[ \t_\-–#:：.=№°º第]|\\_){0,4}+"
    r"(?:(?:number|num|no|nº|n°|nr|n|id|n\.º|номер|番号|번호|编号|nummer|numéro|número)[.°º:]?[ #]{0,2}(?=\d))?)"
)
_CLOSE = rf"(?P<close>[{QUOTES}]{{0,2}}(?:\s?/?[{RIGHT}*_~$]){{0,6}}(?:[{QUOTES}](?=\s?[:：=,]))?+)"
_AND = r"(?:\s?(?:[-–—~～,，、&/+]|\b(?:and|to|through|und|bis|et|y|e|и)\b|和|与|與|及|至|到|と|から|및|와|과)\s?)"
_SEVERAL = (
    rf"(?P<several>(?:{_AND}[{LEFT}{QUOTES}*]{{0,3}}(?:{WORD})?[ _#]{{0,2}}\d{{1,4}}(?!\w)"
    rf"[{RIGHT}{QUOTES}*]{{0,3}}){{1,8}}+"
    r"(?=\s?[:：–—]|\s-\s|\s*$))?"
)
_NOTE = r"(?:[ *_]{0,3}(?:\([^()\n]{0,80}\)|（[^（）\n]{0,80}）|\[[^\[\]\n]{0,80}\])(?=[ *_]{0,4}[:：–—\-]))?"
_VERB = (
    r"(?P<verb>(?:\s?(?:中?(?:是|有)|显示了?|顯示了?|展示了?|为|為|包含了?|では|には|は|은|는|에는|"
    r"에서는)[、,，]?\s?|[ \t](?:shows|contains|"
    r"depicts|displays|features|captures|highlights|includes|is|zeigt|enthält|ist|montre|contient|est|"
    r"représente|muestra|"
    r"contiene|es|mostra|contém|è|показывает|содержит)(?=[ \t:：])[ \t]?))?"
)
_SEPARATOR = (
    r"(?P<sep>[ \t*_`~|]{0,6}+(?:[:：﹕=→⇒⟶]+|[–—－~]+|-{1,3}(?!\d)>?|=>|[.．](?!\d)|[。)、）;；]|[,，](?=[ \D])|\||"
    r"\t)?"
    r"[ \t*_`~]{0,6}+(?:[:：][ \t*_`]{0,4})?+)"
)
_TAIL = rf"{_CLOSE}{_SEVERAL}{_NOTE}{_VERB}{_SEPARATOR}"

NAMED = lazy_pattern(rf"{_BEGIN}(?P<word>{WORD}){_GLUE}[{LEFT}{QUOTES}]?(?P<number>{NUMBER}){_TAIL}")
"""`<region1>: `, `**Region 2** – `, `区域三：`."""

ORDERED = lazy_pattern(
    rf"{_BEGIN}(?P<number>{ORDINAL}\s|\d{{1,3}}\.\s(?={WORD}\s?[:：])|第\s?{NUMBER}\s?[个個號号番]?目?の?|"
    rf"{NUMBER}\s?(?:号|號|"
    rf"番目?の?|번째?\s?)|"
    rf"(?:첫|두|세|네|다섯|여섯)\s?번째\s?)(?P<glue>\s?)(?P<word>(?:(?:highlighted|marked|numbered|"
    rf"image)\s)?{WORD}){_TAIL}"
)
"""`The second region shows `, `第一个区域：`, `1번 영역: `."""

ELEMENT = lazy_pattern(
    rf"{_SIGNS}<\s?(?P<word>{WORD})"
    rf"(?:\s(?:id|number|num|no|n|index|name|label|key|region|box|mark|object|for)\s?=\s?[\"']?(?:{WORD}[ _]?)?"
    rf"(?P<number>{NUMBER})[\"']?(?:\s[^<>\n]{{0,80}})?>"
    rf"|>\s{{0,8}}<(?P<tag>id|number|index|label|name)>\s?(?:<?{WORD}[ _]?)?(?P<field>{NUMBER})>?\s?</(?P=tag)>)"
)
"""`<region id="1">`, `<region><id>1</id>`."""

LONE = lazy_pattern(
    rf"{_SIGNS}(?:(?P<square>[{LEFT}#]\s?|(?:no|nr|nº|n°|№)\.?\s?)(?P<number>{NUMBER})\s?(?P<close>[{RIGHT}])?|"
    rf"(?P<plain>{NUMBER}))"
    r"(?P<sep>[*_`]{0,3}(?:\s?(?:[：。)）、|=．]{1,2}|[:.]{1,2}(?!\d))|\s?[,;](?=[\"“]|[^\W\d])|\t|\s?[–—]\s?|\s?-\s|"
    r"\s(?=\*\*))?)[ \t*_`]{0,4}"
)
"""`1. `, `(2) `, `[3] `, `④ `."""

_NUMBERED = rf"(?:[\s_#:=.\-№°{LEFT}{QUOTES}]{{0,4}}\d{{1,4}}|[\s_#\-]{{1,4}}(?:[ivx]{{1,4}}|[a-z])(?!\w))"
_APART = rf"(?:[{RIGHT}{QUOTES}*_ ]{{0,4}}[:：.)=|–—]|[{BRACKETS}]|\s-\s|\s{{0,4}}$)"
LIKE = lazy_pattern(
    rf"{_SIGNS}{_LISTED}{_ARTICLE}{{0,3}}{_OPEN}{_ARTICLE}{{0,2}}(?:\(?[a-z](?:[.)]\s|\s?[:：])|(?:{ORDINAL}|"
    rf"第{NUMBER}|"
    rf"erstens|zweitens|drittens|viertens)\s?[:：,，]|"
    rf"(?!number)(?:{WORD})[\s_#:.\-№°{LEFT}{QUOTES}]{{0,4}}\d{{1,4}}(?!\w)|"
    rf"{WORD}[{RIGHT}{QUOTES}*_ ]{{0,4}}[:：]|"
    rf"{WORD}\s[^\s\d:：]{{1,20}}\s?[:：]|\d{{1,3}}\s?(?:[-–—~&,、+/]|and|und|et|y|e|и|bis|to|和|与|と|"
    rf"및)\s?\d{{1,3}}\s?[:：.)\]–-]|"
    rf"(?:[^\W\d_]|[\u0300-\u036f\u0900-\u0dff\u0e31-\u0e4e]){{1,24}}(?:[ _=:][^\W\d]{{1,24}})?{_NUMBERED}{_APART}|"
    rf"[ⅰ-ⅻ]\W|(?<=[{LEFT}])\s?\d{{1,4}}\s?\W|[①-⑳❶-❿]|"
    rf"\d{{1,3}}(?:[.:)]\S|\s?[-–—]\s|\s?[-–—=]{{0,2}}[>→⇒⟶]))"
)
"""What may be meant as a label of any kind: `Image 3:`, `Region B:`, `Box 2 is`."""

CALLED = lazy_pattern(
    rf"{_SIGNS}(?:(?:in|within|inside)\s)?(?:the\s)?(?:{WORD}|picture|image)\s(?:(?:that|which)\s)?(?:is\s)?"
    rf"(?:numbered|number|labell?ed|marked|tagged)\s(?:as\s|with\s|by\s)?(?:the\s)?(?:number\s|label\s)?"
    rf"[{QUOTES}#(\[]?(?P<number>{NUMBER})(?![^\W_])"
)
"""`The box numbered 2 shows`: no label, but what a text speaks of."""

SENTENCE_BEGIN = lazy_pattern(r"(?:[.;!?。！？；…｡।۔؟|>:：]|\*\*){1,8}+[\"”’»」』)\]*_]{0,3}\s*+(?=\S)")
LINE_BEGIN = lazy_pattern(r"^[^\S\n]*+(?=\S)", re.MULTILINE)
ANYWHERE = lazy_pattern(r"(?:\s|(?<=[,，、。]))(?=[^\W\d]|[<＜〈《«\[［(（【「{*“„\"])")
