# ruff: noqa: RUF001, RUF002 - signs of other scripts are meant here.
"""Captions that speak of what was drawn on the picture, the box or its number, in the languages that models answer in.

Each tuple is a language. What is drawn must be told from what is there: a red frame may hang on the wall, a blue box
may stand on the table, and a door may have the number 3.
"""

from __future__ import annotations

import re

_COLOUR = (
    r"(?:bright|light|dark|vivid|neon)?[\s-]*(?:red|green|blue|yellow|orange|purple|violet|pink|magenta|cyan|teal|"
    r"turquoise|lime|brown|white|black|navy|colou?red)"
)
_FRAME = r"(?:rectangle|rectangular\s+(?:box|outline|frame)|bounding\s+box|box|square|outline|frame|border|tab)"
_ENGLISH = (
    r"<\s*region[\s_]*\d+\s*>",
    r"\bregions?\s+(?:number(?:ed)?\s+|#\s*)?\d+\b",
    r"\bbounding\s+box",
    rf"\b{_FRAME}\s+(?:that\s+is\s+|is\s+)?(?:with|label+ed|marked|numbered|showing|bearing|containing)\b"
    r"[^.;]{0,24}?(?:\bnumber\b|\bnumeral\b|\bdigit\b|[\"'#]?\b\d{1,3}\b[\"']?\s*(?:[.,;:)]|$|(?:on|in|"
    r"at|around|above)\b))",
    rf"\b(?:outlined|highlighted|enclosed|surrounded|framed|boxed|marked)\s+(?:in|by|with|"
    rf"inside)\s+(?:an?\s+|the\s+)?"
    rf"{_COLOUR}\s+{_FRAME}\b",
    rf"\b(?:outlined|highlighted|marked|boxed)\s+(?:in|with|by)\s+(?:an?\s+|"
    rf"the\s+)?(?:{_COLOUR}\s*(?:[.,;:)]|$)|{_FRAME}\b)",
    rf"\b(?:inside|within|in)\s+the\s+(?:{_COLOUR}\s+)?(?:rectangle|{_COLOUR}\s+(?:box|outline|frame))\b",
    rf"\b(?:numbered|marked)\s+(?:{_FRAME}|region|area)s?\b",
    r"\b(?:object|item|area|part|thing|one)\s+(?:marked|label+ed|numbered)\s+\d{1,3}\b",
    r"\b(?:marked|label+ed|numbered|tagged)\s+(?:as\s+|with\s+(?:the\s+)?(?:number\s+)?|"
    r"number\s+)[\"'#]?\d{1,3}\b",
)

_CHINESE = (
    r"[红紅绿綠蓝藍黄黃橙紫粉青白黑彩]色?的?(?:矩形|方形|长方形|長方形|线|線|边界|邊界|标记|標記|标注|標註)框",
    r"(?:矩形|边界|邊界|标记|標記|标注|標註|框选)框?(?:内|中|里|裡|裏|区域|區域)|(?:边界|邊界)框|"
    r"[红紅绿綠蓝藍黄黃橙紫粉青]色?的?(?:方?框|矩形)(?:内|中|里|裡|裏|标|標|圈|包|围|圍|框|，|,|和|与|上)",
    r"(?:区域|區域|方框|矩形框|编号|編號)\s?[#＃]?\d+|第\s?\d+\s?(?:个|個|号|號)?(?:区域|區域|框|方框)",
    r"(?:框|矩形)[^。；]{0,12}(?:数字|數字|编号|編號|号码|號碼)[“「\"'‘]?\s?\d|(?:标有|标着|標有|標著|标注为|"
    r"标记为|標記為|编号为|編號為)(?:数字|數字|号码|編號|编号)?[“「\"'‘]?\s?\d",
)  # fmt: skip
_JAPANESE = (
    r"(?:赤|緑|青|黄|橙|紫|ピンク|オレンジ|水)(?:色|い|色い|色の|の)?(?:枠|矩形|長方形|四角(?!い))(?:で囲|内|"
    r"の中|線|に囲|と数字|、|に数字)",
    r"バウンディングボックス|枠で囲まれ|(?:領域|リージョン|番号)\s?\d+(?![\d年月番])|(?:枠|矩形|"
    r"四角)[^。]{0,12}(?:数字|番号)",
)
_KOREAN = (
    r"(?:빨간|빨강|녹색|초록|파란|파랑|노란|노랑|주황|보라|분홍|청록)색?\s?(?:직사각형|사각형|네모|테두리|"
    r"바운딩)\s?(?:상자|박스)?\s?(?:안|내|로 |으로 |에 |,|과|와)",
    r"경계\s?상자|바운딩\s?박스|(?:영역|구역)\s?\d+|(?:상자|박스|사각형|테두리)[^.]{0,12}(?:숫자|번호)\s?\d|"
    r"(?:색|간)\s?(?:상자|박스)\s?(?:안에|로 표시|로 둘러)",
)  # fmt: skip
_HUE_DE = r"(?:rot|grün|blau|gelb|orange|lila|violett|rosa|türkis|pink|magenta|cyan)"
_GERMAN = (
    r"\bbegrenzungs(?:rahmen|box)|\b(?:bereich|region)\s+(?:nr\.?\s?|nummer\s+)?\d+\b",
    rf"\b{_HUE_DE}(?:e[nrsm]?)?\s+(?:rechteck|umrandung|markierung)",
    rf"\b{_HUE_DE}\s+(?:umrandet|eingerahmt|markiert|umrahmt|hervorgehoben|eingekreist)",
    rf"\b(?:im|in einem|in dem|vom|von einem|durch einen|innerhalb des)\s+{_HUE_DE}en\s+(?:rahmens?|kastens?|"
    rf"rechtecks?)",
    r"\b(?:rechteck|rahmen|kasten|box|umrandung)\s+(?:mit|und)\s+der\s+(?:nummer|zahl|ziffer)\b",
)
_HUE_FR = r"(?:rouge|vert|bleu|jaune|orange|violet|rose|cyan|turquoise)e?s?"
_FRENCH = (
    r"\bboîte englobante|\bcadre de délimitation|\brégion\s+(?:n[°º]\s?|numéro\s+)?\d+\b",
    rf"\b(?:rectangle|encadré)\s+{_HUE_FR}\b|\b(?:dans|par)\s+(?:le|un)\s+cadre\s+{_HUE_FR}\b",
    rf"\b(?:entouré|encadré|délimité|surligné|marqué)e?s?\s+(?:en\s+{_HUE_FR}|(?:par|d['’])\s?un\s+(?:rectangle|"
    rf"cadre\s+{_HUE_FR}))\b",
    r"\b(?:rectangle|cadre|encadré|carré)\b[^.;]{0,24}\b(?:numéro|chiffre)\s+\d",
)
_HUE_ES = r"(?:roj|verde|azul|amarill|naranja|morad|rosa|violeta|cian)[oa]?s?"
_SPANISH = (
    r"\bcuadro delimitador|\bcaja delimitadora|\bregión\s+(?:n[°º]\s?|número\s+)?\d+\b",
    rf"\b(?:rectángulo|recuadro)\s+(?:de color\s+)?{_HUE_ES}\b",
    rf"\b(?:resaltad|enmarcad|marcad|delimitad|recuadrad)[oa]s?\s+(?:en|con|por)\s+(?:un\s+)?(?:{_HUE_ES}|"
    rf"rectángulo|recuadro)\b",
    r"\b(?:rectángulo|recuadro|cuadro|caja)\b[^.;]{0,24}\b(?:número|dígito)\s+\d",
)
_MARK = re.compile("|".join((*_ENGLISH, *_CHINESE, *_JAPANESE, *_KOREAN, *_GERMAN, *_FRENCH, *_SPANISH)), re.IGNORECASE)


def mentions_mark(caption: str) -> bool:
    """Whether it tells of what was drawn on the picture.

    >>> mentions_mark("A green rectangle with the number 3."), mentions_mark("A green box of tea.")
    (True, False)
    >>> mentions_mark("红色矩形框，数字3"), mentions_mark("一个红色的盒子")
    (True, False)
    """
    return _MARK.search(caption) is not None
