# ruff: noqa: RUF001, RUF002 - signs of other scripts are meant here.
"""Captions that speak of what was drawn on the picture, the box or its number, in the languages that models answer in.

Each tuple is a language. What is drawn must be told from what is there: a red frame may hang on the wall, a blue box
may stand on the table, a player has a number, and text is highlighted. So a colour and a box alone say nothing; what
counts is a box that surrounds or names something, a number that belongs to a box or region, or a region that is marked.
"""

from __future__ import annotations

import re

from regioncap.captioners.reading.lazy_pattern import lazy_pattern

_NUMBER = r"[\"'“‘#]?\d{1,3}\b[\"'”’]?"
_VIVID = (
    r"(?:(?:bright|light|dark|vivid|neon|thin|thick|bold)[\s-]+){0,2}(?:red|green|blue|yellow|orange|purple|violet|"
    r"pink|"
    r"magenta|cyan|teal|turquoise|lime|colou?red)"
)
_BOX = r"(?:rectangle|rectangular\s+(?:box|outline|frame)|bounding\s+box|box|square|outline|frame|border)"
_LABELLED = r"(?:label+ed|marked|numbered|tagged)"
_PLACE = r"(?:region|area|zone|object|item|part|section|subject)"
_ENGLISH = (
    r"<\s*region[\s_]*\d+\s*>",
    r"\bregions?[\s_#-]*(?:number(?:ed)?\s+|#\s*)?\d+\b",
    r"\bbounding\s+box",
    # A box and its number.
    rf"\b{_VIVID}\s+{_BOX}\s+(?:that\s+is\s+|is\s+)?(?:{_LABELLED}|with|showing|bearing|containing)\s+(?:as\s+|"
    rf"with\s+)?"
    rf"(?:the\s+|an?\s+)?(?:(?:number|numeral|digit)\s+)?{_NUMBER}(?!\s+\w+s\b)",
    rf"\b(?:rectangle|outline)\s+(?:that\s+is\s+)?{_LABELLED}\s+(?:as\s+|with\s+)?(?:the\s+)?(?:number\s+)?{_NUMBER}",
    rf"\bthe\s+(?:box|square|frame)\s+{_LABELLED}\s+(?:as\s+|with\s+)?(?:number\s+)?{_NUMBER}",
    r"\bbox\s+\d{1,3}\s+(?:shows|contains|depicts|displays|features|highlights|captures)\b",
    rf"\bnumber\s+{_NUMBER}\s+(?:in|at|on)\s+the\s+(?:(?:top|upper|bottom|lower)[\s-]*)?(?:left|"
    rf"right)?(?:[\s-]hand)?\s*"
    r"corner\s+of\s+(?:the|its)\s+(?:box|rectangle|region|frame|outline)\b",
    # A box round something.
    rf"\b(?:outlined|highlighted|enclosed|surrounded|framed|boxed|marked|indicated)\s+(?:in|by|with|inside|within)\s+"
    rf"(?:an?\s+|the\s+)?{_VIVID}\s+{_BOX}\b",
    rf"\b(?:outlined|highlighted|marked|boxed|indicated)\s+(?:in|with|by)\s+(?:an?\s+|the\s+)?{_BOX}\b(?!\s+(?:of|"
    rf"on))",
    rf"\b(?:outlined|boxed)\s+in\s+{_VIVID}(?=\s*(?:[.,;:)]|$))",
    rf"\b{_VIVID}\s+(?:box|rectangle|outline|square|frame)\s+(?:that\s+)?(?:highlights|marks|surrounds|encloses|"
    rf"outlines|"
    r"indicates)\b",
    rf"\b{_VIVID}\s+(?:box|rectangle|outline)\s+(?:is\s+)?(?:drawn\s+)?around\b",
    rf"\b(?:inside|within|in)\s+the\s+(?:{_VIVID}\s+(?:rectangle|outline)|rectangle)\b",
    rf"(?:^|[.;]\s+)the\s+[\w-]+\s+(?:shown\s+|seen\s+)?(?:inside|within|in)\s+the\s+{_VIVID}\s+(?:box|frame|"
    rf"square)\b",
    # A region that is marked.
    rf"\b(?:numbered|marked|boxed|outlined|{_VIVID}-bordered)\s+(?:{_PLACE}|rectangle|box|frame|marker)s?\b",
    r"\b(?:this|the)\s+highlighted\s+(?:region|area|object|item|section|part|box)\b",
    rf"\b{_PLACE}\s+{_LABELLED}\s+(?:as\s+|with\s+)?(?:the\s+)?(?:number\s+)?{_NUMBER}",
    rf"(?:^|[.;]\s+)the\s+(?:\w+\s+)?\w+\s+{_LABELLED}\s+(?:as\s+|"
    rf"with\s+)?(?:the\s+)?(?:number\s+)?[\"'“‘#]?\d{{1,2}}\b"
    r"(?![\"”’']?\s+(?:lit(?:er|re)s?|grams?|kg|ml|pieces|items|cm|mm)\b)",
    r"(?:^|[.;]\s+)(?:this|the)\s+(?:image\s+)?region\s+(?:shows|contains|depicts|displays|features|captures|"
    r"includes)\b",
    r"(?:^|[.;]\s+)this\s+(?:area|box)\s+(?:shows|depicts|displays|captures)\b",
    r"\bas\s+marked\s+in\s+the\s+(?:image|picture|photo)\b",
)
_HUE_ZH = "[红紅绿綠蓝藍黄黃橙紫粉青彩]色?的?"
_IN_ZH = "(?:内|內|中|里|裡|裏)"
_PLACE_ZH = "(?:区域|區域|方框|矩形框?|框|物体|物體|物件|部分|对象|對象|目标|目標)"
_CHINESE = (
    rf"(?:{_HUE_ZH}|[白黑]色?的?)(?:矩形|方形|长方形|長方形|线|線|边界|邊界|标记|標記|标注|標註)框(?!眼镜|眼鏡)|"
    rf"(?:边界|邊界)框",
    rf"{_HUE_ZH}(?:方?框|矩形)(?:{_IN_ZH}|标|標|圈|包|围|圍|框|，|,|和|与|上)|被{_HUE_ZH}(?:方?框|矩形|线|線)",
    rf"(?:矩形|边界|邊界|标记|標記|标注|標註|框选|框選)框?(?:{_IN_ZH}|的?(?:区域|區域|物体|物體))|^框{_IN_ZH}",
    rf"(?:^|[。；，])(?:该|該|此|这个|這個|本)(?:区域|區域)(?:显示|顯示|展示|包含|是|为|為|{_IN_ZH})|(?:圈出|高亮|"
    rf"突出显示)的?(?:区域|區域)",
    r"(?:区域|區域|方框|矩形框)\s?[#＃]?\d+|第\s?\d+\s?(?:个|個|号|號)?(?:区域|區域|框|方框)",
    rf"(?:编号|編號|标号|標號|号码|號碼)(?:为|為|是)?\s?\d+\s?的{_PLACE_ZH}",
    r"(?:框|矩形)[^。；的]{0,8}(?:数字|數字|编号|編號)[“「\"'‘]?\s?\d",
    rf"(?:标有|标着|標有|標著|标注为|标记为|標記為|编号为|編號為)(?:数字|數字|号码|編號|"
    rf"编号)?[“「\"'‘]?\s?\d+[”」\"'’]?\s?的{_PLACE_ZH}",
    r"(?:标记为|標記為|标注为|標註為)[“「\"'‘]?\s?\d|(?:数字|數字)\s?\d+\s?(?:标记|標記|标注|標註)",
)
_HUE_JA = "(?:赤|緑|青|黄|橙|紫|ピンク|オレンジ|水)(?:色|い|色い|色の|の)?"
_JAPANESE = (
    rf"{_HUE_JA}(?:枠|矩形|長方形|四角(?!い))(?:線)?(?:で囲|内|の中|に囲|と数字|に数字|と番号)",
    rf"{_HUE_JA}枠(?!線?の(?!中|内|横|上|下|右|左|番号|数字))(?=が|を|に|と|、|。|付き|$)",
    r"バウンディングボックス|枠で囲まれ|(?<!窓)(?<!額)(?<!扉)枠(?:内|の中)の|(?:マーク|強調|"
    r"ハイライト)(?:表示)?された(?:領域|部分|エリア|範囲)",
    r"(?:領域|リージョン)\s?\d+(?![\d年月])|(?<!背)番号\s?\d+の(?:領域|枠|矩形|部分|エリア|物体)|\d+番の(?:枠|領域|"
    r"四角)",
    r"(?:枠|矩形|四角)(?!い)[^。]{0,12}(?:数字|番号)|(?:数字|番号)の?\s?\d+[^。]{0,10}(?:枠|矩形|四角(?!い)|領域)",
)
_HUE_KO = "(?:빨간|빨강|녹색|초록|파란|파랑|노란|노랑|주황|보라|분홍|청록)색?"
_KOREAN = (
    rf"{_HUE_KO}\s?(?:직사각형|사각형|네모|테두리|바운딩)\s?(?:상자|박스)?\s?(?:안(?:의|에|쪽)|내(?:의|에|부)|로 |"
    rf"으로 |,|과 |와 )",
    rf"{_HUE_KO}\s?(?:상자|박스)\s?(?:안의|안에 있는|로 표시|로 둘러|로 강조|와 숫자)|^{_HUE_KO}\s?(?:상자|박스)\W*$",
    r"경계\s?상자|바운딩\s?박스|(?:영역|구역)\s?\d+|\d+번\s?(?:영역|구역|상자|박스)|(?:표시|강조|마킹)된\s?(?:영역|"
    r"구역|부분)",
    r"(?:사각형|테두리)[^.]{0,12}(?:숫자|번호)\s?\d|(?:숫자|번호)\s?\d+[^.]{0,10}(?:사각형|테두리|영역|구역)",
)
_HUE_DE = r"(?:rot|grün|blau|gelb|orange|lila|violett|rosa|türkis|pink|magenta|cyan)"
_MARKED_DE = r"(?:markiert|gekennzeichnet|hervorgehoben|umrandet|nummeriert|beschriftet)"
_GERMAN = (
    r"\bbegrenzungs(?:rahmen|box)|\b(?:bereich|region)\s+(?:nr\.?\s?|nummer\s+)?\d+\b",
    rf"\b{_HUE_DE}(?:e[nrsm]?)?\s+(?:rechteck|umrandung|markierung)",
    rf"\b{_HUE_DE}\s+(?:umrandet|eingerahmt|umrahmt|eingekreist)|"
    rf"\b{_HUE_DE}\s+(?:markiert|hervorgehoben)e?[rsn]?(?!\w)(?!\s+(?:text|wort|wörter|zeile|stelle|weg|route|satz|"
    rf"zelle))",
    rf"\b(?:im|in dem|vom|innerhalb des)\s+{_HUE_DE}en\s+(?:rahmens?|kastens?|rechtecks?)|"
    rf"\b(?:von|durch)\s+einen?m?\s+{_HUE_DE}en\s+(?:rahmen|kasten|rechteck)",
    r"\b(?:rechteck|rahmen|kasten|umrandung)\s+(?:mit|und)\s+der\s+(?:nummer|zahl|ziffer)\b",
    rf"\b{_MARKED_DE}e[nrs]?\s+(?:bereich|region|objekt|stelle im bild)|\bmit\s+(?:der\s+(?:nummer|zahl|"
    rf"ziffer)\s+)?\d{{1,3}}\s+{_MARKED_DE}",
)
_HUE_FR = r"(?:rouge|vert|bleu|jaune|orange|violet|rose|cyan|turquoise)e?s?"
_FRENCH = (
    r"\bboîte englobante|\bcadre de délimitation|\brégion\s+(?:n[°º]\s?|numéro\s+)?\d+\b|\bzone\s+(?:n[°º]\s?|"
    r"numéro\s+)\d+\b",
    rf"\b(?:rectangle|encadré)\s+{_HUE_FR}\b|\bdans\s+le\s+cadre\s+{_HUE_FR}\b|\bpar\s+(?:le|"
    rf"un)\s+cadre\s+{_HUE_FR}\b",
    rf"\b(?:entouré|encadré|délimité)e?s?\s+(?:en\s+{_HUE_FR}|(?:par|d['’])\s?un\s+(?:rectangle|cadre\s+{_HUE_FR}))\b",
    r"\b(?:rectangle|cadre|encadré)\b[^.;]{0,24}\b(?:numéro|chiffre)\s+\d|\b(?:numéro|"
    r"chiffre)\s+\d+\s+dans\s+le\s+(?:rectangle|cadre)",
    r"\b(?:zone|région|objet|partie)\s+(?:marqué|étiqueté|numéroté)e?\s+(?:par\s+|avec\s+)?(?:le\s+)?(?:numéro\s+)?\d|"
    r"\b(?:zone|région|partie)\s+(?:mise\s+en\s+évidence|surlignée|encadrée|délimitée)",
)
_HUE_ES = r"(?:roj|verde|azul|amarill|naranja|morad|rosa|violeta|cian)[oa]?s?"
_SPANISH = (
    r"\bcuadro delimitador|\bcaja delimitadora|\bregión\s+(?:n[°º]\s?|número\s+)?\d+\b|\b(?:zona|área)\s+(?:n[°º]\s?|"
    r"número\s+)\d+\b",
    rf"\b(?:rectángulo|recuadro)\s+(?:de color\s+)?{_HUE_ES}\b|\bcuadro\s+{_HUE_ES}\s+(?:con\s+el\s+)?(?:número|"
    rf"dígito)\s+\d",
    rf"\b(?:resaltad|enmarcad|delimitad|recuadrad)[oa]s?\s+(?:en|con|por)\s+(?:un\s+)?(?:{_HUE_ES}|rectángulo|"
    rf"recuadro)\b|"
    r"\bmarcad[oa]s?\s+(?:con|por)\s+un\s+(?:rectángulo|recuadro)\b",
    r"\b(?:rectángulo|recuadro)\b[^.;]{0,24}\b(?:número|dígito)\s+\d",
    r"\b(?:zona|área|región|objeto|parte)\s+(?:marcad|etiquetad|numerad)[oa]\s+(?:con\s+|"
    r"como\s+)?(?:el\s+)?(?:número\s+)?\d|"
    r"\b(?:zona|área|región|parte)\s+(?:resaltad|enmarcad|delimitad|señalad)[oa]\b",
)
PHRASES = (*_ENGLISH, *_CHINESE, *_JAPANESE, *_KOREAN, *_GERMAN, *_FRENCH, *_SPANISH)
_MARK = lazy_pattern("|".join(PHRASES), re.IGNORECASE)

_HIGHLIGHTED = lazy_pattern(rf"\b(?:highlighted|marked)\s+in\s+{_VIVID}(?=\s*(?:[.,;:)]|$))", re.IGNORECASE)
_STEMS = (
    "region", "box", "rectang", "square", "outline", "frame", "border", "mark", "number", "label", "tagged",
    "highlight", "area", "bereich", "begrenzungs", "rechteck", "umrand", "rahm", "kasten", "eingekreist",
    "hervorgehoben", "gekennzeichnet", "nummeriert", "beschriftet", "cadre", "cuadr", "resaltad", "marcad",
    "delimitad", "etiquetad", "numerad",
)  # fmt: skip
"""One of them is in each ASCII text that `_MARK` or `_HIGHLIGHTED` finds: to look for these is far quicker."""

_TYPOGRAPHY = str.maketrans("‘’“”–—…", "''\"\"--.")
"""Signs in English texts that ASCII lacks; no word of `_STEMS` is found or missed by them."""

_PRINTED = lazy_pattern(
    r"\b(?:text|words?|letters?|sentences?|lines?|paragraphs?|passages?|phrases?|pages?|books?|documents?|maps?|"
    r"routes?|"
    r"trails?|cells?|rows?|columns?|charts?|dates?|calendar|screen|code|names?)\b",
    re.IGNORECASE,
)
"""What people highlight themselves."""


def mentions_mark(caption: str) -> bool:
    """Whether it tells of what was drawn on the picture.

    >>> mentions_mark("A green rectangle with the number 3."), mentions_mark("A green box of tea.")
    (True, False)
    >>> mentions_mark("红色矩形框，数字3"), mentions_mark("一个红色的盒子")
    (True, False)
    """
    if caption.translate(_TYPOGRAPHY).isascii() and not has_stem(caption):
        return False
    if _MARK.search(caption):
        return True
    return _HIGHLIGHTED.search(caption) is not None and not _PRINTED.search(caption)


def has_stem(caption: str) -> bool:
    """Whether an ASCII text has any of the words that what was drawn is spoken of with."""
    low = caption.lower()
    return any(stem in low for stem in _STEMS)
