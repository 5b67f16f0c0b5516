# ruff: noqa: RUF001 - signs of other scripts are meant here.
"""What stands where a caption should be and says nothing: "N/A", "same as above", "…", the words of a template.

The tables have one line for each language. A text is a placeholder only as a whole.
"""

from __future__ import annotations

from regioncap.captioners.reading.lazy_pattern import lazy_pattern
from regioncap.captioners.reading.plain_text import MAX_PHRASE, lowered

_EMPTY = (
    # English
    r"nan|true|false|yes|no|ok(?:ay)?|sure|done|understood|error|n/?a|none|nothing|nil|null|undefined|tb[da]|todo|"
    r"to be (?:determined|added|done)|empty|blank|void|ditto|idem|unclear|unsure|uncertain|invisible|illegible|"
    r"(?:an? )?(?:unknown|unidentified|unidentifiable|unrecognizable|indistinct|unspecified)(?: (?:object|item|region|"
    r"thing|area))?|"
    r"(?:the )?same(?: (?:as|like) .{1,60})?|(?:see|as|like) (?:above|below|before|previous.{0,20}|"
    r"(?:the )?<?region.{1,12})|"
    r"(?:it is |it['’]s )?not (?:visible|seen|shown|applicable|available|clear|identifiable|recogni[sz]able|specified|"
    r"provided|present|found|described|sure)(?: (?:in|from) (?:the|this) \w+)?|"
    r"(?:there is )?no (?:object|region|image|picture|caption|description|text|content|data|answer|response|"
    r"information|"
    r"match|result|output|comment)s?(?: (?:is )?(?:available|given|provided|found|visible|present|here))?|"
    r"(?:caption|description|content|image|picture|information|data) (?:is )?(?:not available|unavailable|missing|"
    r"n/?a)|"
    r"texts?|strings?|captions?|descriptions?|sentences?|regions?|objects?|images?|pictures?|functions?|"
    r"placeholders?(?: text)?|"
    r"object object|lorem ipsum\b.*|x{3,}|example|sample(?: text)?|"
    r"(?:(?:your|the|a|an|one|some|insert|enter|add|write|put|short|brief|clear|detailed|concise|single|real|actual|"
    r"image|"
    r"region|full)\s){0,5}(?:captions?|descriptions?|text|sentence)(?: (?:here|goes here|of (?:the|this|each|a) \w+|"
    r"for (?:the|this|each|a)? ?\w+))?|"
    r"(?:internal )?server error|(?:\d{3} )?(?:bad gateway|service unavailable|gateway time-?out|not found|forbidden|"
    r"too many requests|internal server error)|(?:request )?timed? ?-?out|(?:rate|token) limit\b.{0,40}|"
    r"(?:content )?(?:was |has been )?(?:filtered|redacted|removed|omitted|hidden|censored|blocked)|"
    r"answer with one (?:line|json)\b.*|describe only\b.*|this image has the marks of\b.*",
    # Chinese
    r"无|無|没有|沒有|空|未知|不详|不詳|不明|不清楚|不确定|不確定|看不清楚?|看不到|看不见|看不見|不可见|不可見|"
    r"无法(?:辨认|识别|确定|判断|描述)|"
    r"無法(?:辨認|識別|確定|判斷|描述)|同上|如上|见上|見上|同前|略|待定|暂无|暫無|[无無](?:描述|说明|內容|内容)|"
    r"(?:此处|此處|在此)?(?:请)?(?:填写|輸入|输入|插入)?(?:图片|圖片|图像|区域|簡短|简短)?(?:的)?(?:描述|说明|說明|"
    r"标题|標題|文字|文本|内容)(?:文字|内容)?",
    # Japanese
    r"なし|無し|該当なし|不明(?:です|瞭)?|見えません|見えない|判別できません|判別不能|確認できません|わかりません|"
    r"分かりません|同上|同じ|上と同じ|上記と同じ|"
    r"(?:ここに)?(?:説明|キャプション|テキスト)(?:文|をここに)?",
    # Korean
    r"없음|없습니다|알 ?수 ?없음|불명|미상|보이지 ?않음|보이지 ?않습니다|확인 ?불가|확인할 ?수 ?없(?:음|습니다)|"
    r"식별 ?불가|위와 ?같음|상동|동일|해당 ?없음|"
    r"(?:여기에 )?(?:설명|캡션|텍스트)",
    # German
    r"keine?|nichts|unbekannt(?:es objekt)?|unklar|leer|entfällt|k\.\s?a\.?|keine (?:angaben?|beschreibung|daten)|"
    r"nicht (?:sichtbar|erkennbar|vorhanden|verfügbar|zu (?:sehen|erkennen))|(?:siehe|wie|s\.) (?:oben|vorher|o\.)|"
    r"dasselbe|"
    r"dito|(?:hier )?(?:die |kurze |eine )?(?:beschreibung|bildunterschrift|text)(?: hier| einfügen)?",
    # French
    r"aucune?|rien|néant|inconnue?|non (?:visible|identifiable|disponible|précisé)|pas (?:visible|clair|disponible)|"
    r"idem|"
    r"(?:voir|comme) ci-dessus|sans objet|aucune (?:description|légende)(?: disponible)?|vide|même chose|"
    r"(?:votre |la |une )?(?:description|légende|texte)(?: ici)?",
    # Spanish, Portuguese, Italian
    r"ningun[oa]|nada|desconocid[oa]|vac[íi]o|no (?:visible|disponible|aplica|identificable|se (?:ve|aprecia|"
    r"distingue))|"
    r"(?:igual|lo mismo) que (?:arriba|el anterior|antes)|(?:ver|como) (?:arriba|más arriba)|[íi]dem|"
    r"sin (?:descripción|texto|datos)|"
    r"(?:su |la |una )?(?:descripción|leyenda|texto)(?: aquí)?|nenhum[a]?|desconhecid[oa]|não (?:visível|disponível|"
    r"identificável|se aplica)|(?:igual|o mesmo) (?:ao?|que) (?:anterior|acima)|(?:ver|como) acima|sem descrição|"
    r"descrição|"
    r"nessun[oa]?|niente|sconosciut[oa]|non (?:visibile|disponibile|identificabile|specificato)|(?:come|vedi) sopra|"
    r"uguale a sopra|"
    r"nessuna descrizione|descrizione|didascalia",
    # Russian, Ukrainian, Polish, Czech
    r"нет(?: данных| описания)?|ничего|неизвестн[оый]{1,2}|не видно|не (?:виден|видна|определено|указано|доступно)|"
    r"то же(?: самое)?|"
    r"(?:как|см\.) (?:указано )?выше|пусто|описание|невідомо|не видно|опис|brak(?: danych| opisu)?|nic|nieznan[eya]|"
    r"niewidoczn[eya]|"
    r"to samo|(?:jak|patrz) wyżej|opis|žádn[ýá]|nic|neznám[éý]|není vidět|stejné|viz výše|popis",
    # Dutch, Scandinavian, Finnish, Turkish, Indonesian, Vietnamese
    r"geen|niets|onbekend|onduidelijk|niet (?:zichtbaar|beschikbaar|herkenbaar)|zie boven|hetzelfde|beschrijving|"
    r"ingen|"
    r"inget|okän[dt]|"
    r"ukendt|ukjent|(?:ej|inte|ikke) synligt?|samma som ovan|beskrivning|tuntematon|ei näy|bilinmiyor|bilinmeyen|"
    r"görünmüyor|yok|"
    r"açıklama|tidak (?:diketahui|terlihat|ada|tersedia|jelas)|sama|deskripsi|không (?:rõ|thấy|có|biết|xác định)|"
    r"như trên|mô tả",
    # Arabic, Hebrew, Hindi, Thai, Greek
    r"لا شيء|لا يوجد|غير (?:معروف|مرئي|متوفر|واضح)|مجهول|كما سبق|نفس(?:ه| الشيء)?|وصف|אין|לא (?:ידוע|נראה|ברור)|כנ\"ל|"
    r"תיאור|"
    r"अज्ञात|कुछ नहीं|दिखाई नहीं.{0,8}|उपलब्ध नहीं|विवरण|ไม่ทราบ|ไม่มี|ไม่ชัดเจน|มองไม่เห็น|เหมือนข้างบน|คำอธิบาย|"
    r"άγνωστο|τίποτα|δεν φαίνεται|περιγραφή",
)  # fmt: skip

_NOTHING = lazy_pattern(
    rf"[\W_]*+(?:(?:{'|'.join(_EMPTY)})(?![^\W_])|[\d\W_]*+|(?:https?|data|file|ftp):\S*|[\w-]{{1,80}}\.(?:png|jpe?g|"
    rf"webp|gif))?[\W_]*+$"
)


def says_nothing(text: str) -> bool:
    """Whether there are no words in it, or only those of a place left empty.

    >>> [says_nothing(text) for text in ("N/A", "[Your caption here]", "同上。", "…", "No dogs allowed.")]
    [True, True, True, True, False]
    """
    return len(text) <= MAX_PHRASE and _NOTHING.match(lowered(text)) is not None
