# ruff: noqa: RUF001, RUF002 - signs of other scripts are meant here.
"""How models decline to answer, in the languages that they answer in.

The table has one line for each language. All of it is matched where a text begins, and nothing looks further than a
line.
"""

from __future__ import annotations

from regioncap.captioners.reading.plain_text import any_of, beginning

_REFUSALS = (
    # English
    r"i['’]?m (?:very |so |really |deeply )?(?:sorry|afraid)|i am (?:very |so |really )?(?:sorry|afraid)|"
    r"(?:sorry|apologies|my apologies)[,.!:— ]|i (?:do )?apologi[sz]e|"
    r"(?:unfortunately|regrettably),? (?:i|the image|the picture|there is no|no image|you)\b|"
    r"i(?:['’]m| am) (?:currently )?(?:not|unable)\b|i notice |i(?:['’]d| would) (?:be (?:happy|glad|able)|need|"
    r"love)|i(?:['’]ve| have) (?:not|no)\b|i (?:won['’]t|will not|must decline)|"
    r"i (?:can(?:no|['’])?t|can not|could(?:n['’]t| not)|do(?:n['’]t| not)) (?!wait|stop|even\b)|"
    r"as an? (?:\w{1,12} ){0,2}(?:ai|artificial intelligence|language model|text-based|assistant)\b|"
    r"i(?:['’]m| am) (?:[\w. -]{1,24}, )?(?:just |only )?an? (?:\w{1,12} )?(?:ai|language model|assistant)\b|"
    r"(?:hello|hi|hey)(?: there)?[!,.]|how (?:can|may) i (?:help|assist)|what would you like|"
    r"which (?:region|image|picture|one|object|area)s? (?:do|would|are|should)|"
    r"(?:the|this) (?:image|picture|photo|region|crop)(?: itself)? (?:is|appears|seems|"
    r"looks)(?: to be)? (?:\w{1,12} )?"
    r"(?:too \w{1,16}(?: or \w{1,16})? (?:to|for)|blank|empty|missing|corrupt|unreadable|not (?:visible|clear|"
    r"available|loading|there|shown))|"
    r"(?:it is|it['’]s) (?:too \w{1,16} to|unclear|hard to (?:say|tell|see)|difficult to (?:say|tell|see))|"
    r"(?:it (?:looks|seems|appears) (?:like|that|as (?:if|though)) )?(?:you (?:have(?:n['’]t| not)|did(?:n['’]t|"
    r" not)|"
    r"forgot)|no (?:image|picture|photo|attachment)\b[^.\n]{0,20}\b(?:was|is|has|were|attached|provided|uploaded)|"
    r"there (?:is|was|are) no (?:image|picture|photo|attachment|visible)|the (?:image|picture|photo|region|area) "
    r"(?:you[^.\n]{0,30} )?(?:did(?:n['’]t| not)|is(?:n['’]t| not)|was(?:n['’]t| not)|could not|cannot|failed|"
    r"does not|doesn['’]t "
    r"(?:contain|show|exist|appear to (?:contain|have))))|"
    r"(?:could|can|would|will) you (?:please )?(?:provide|upload|share|attach|send|re-?upload|clarify|specify|tell|"
    r"confirm)|"
    r"please (?:provide|upload|share|attach|send|re-?upload|specify|clarify)|i (?:need|would need|require) (?:the|an|"
    r"to see|you)\b|"
    r"(?:it is|it['’]s) (?:not possible|impossible) |unable to (?:see|identify|determine|describe|provide|"
    r"process|view)|"
    r"error\s?[:(\d]|(?:cannot|can['’]t) (?:be )?(?:see|identif|determin|describ|provid|assist|help|view)|"
    r"nothing (?:is |can be )?(?:visible|seen|to describe)|not visible\b|not (?:found|present|applicable|"
    r"available)\b",
    # Chinese
    r"(?:很|非常|十分)?(?:抱歉|遗憾|遺憾|对不起|對不起|不好意思)|我?(?:无法|無法|不能|没法|沒法|没有办法|"
    r"难以)(?:看|识|識|描|提|确|確|为|為|回|协|協|"
    r"帮|幫|处|處|访|訪|查|生|直|满|打|观|觀|辨|分|判)|"
    r"(?:您|你)(?:似乎|好像)?(?:没有|沒有|还没|還沒|未)(?:上传|上傳|提供|附|发|發)|(?:请|請)(?:您|"
    r"你)?(?:先)?(?:上传|上傳|提供|重新|发送|發送)|"
    r"作为一?(?:个|名|款)?(?:人工智能|ai|语言模型|大模型)|身為|我(?:看不到|没有看到|沒有看到|看不见|没看到)|"
    r"(?:没有|沒有|未)(?:看到|提供|收到|检测到|检测到任何)",
    # Japanese
    r"(?:大変|誠に)?申し訳|すみません|恐れ入りますが|残念ながら|ごめんなさい|(?:画像|写真|イメージ)(?:が|を|"
    r"は)[^。\n]{0,6}(?:見|確認|表示|提供|添付|アップロード|認識|あり)[^。\n]{0,12}(?:ません|ない)|"
    r"(?:私は)?(?:ai|人工知能|言語モデル)(?:として|なので|です)|お(?:手伝い|答え)(?:でき|する)|"
    r"[^。\n]{0,12}(?:お手伝い|説明|識別|特定)(?:することは|は)?できません",
    # Korean
    r"(?:정말 |대단히 )?죄송|미안|유감스럽|안타깝게도|저는 (?:ai|인공지능|언어)|(?:이미지|사진|그림)(?:가|를|을|"
    r"이) (?:첨부|제공|업로드|보이지|볼 수|없)|"
    r"[^.\n]{0,16}(?:설명|식별|확인|도와|제공)[^.\n]{0,10}(?:할|드릴) 수 없|이미지를 (?:첨부|업로드|제공)",
    # German
    r"(?:es tut mir (?:sehr )?leid|tut mir (?:sehr )?leid|entschuldig|verzeih|leider[ ,.]|ich bedaure)|"
    r"ich (?:kann|konnte|darf|könnte) [^.\n]{0,60}(?:nicht|kein)|ich (?:sehe|habe|erkenne|finde) kein|"
    r"ich bin (?:nicht|leider|eine? ki\b|ein sprach)|"
    r"als (?:ki|künstliche|sprachmodell)|(?:sie haben|du hast) (?:kein|noch kein)|bitte (?:lade|laden|senden|"
    r"stellen|geben) |"
    r"(?:es )?(?:wurde|ist|gibt) kein (?:bild|foto)|(?:das|kein) bild (?:wurde |ist |kann )?(?:nicht|vorhanden|"
    r"angehängt)",
    # French
    r"(?:je suis |je suis vraiment |vraiment )?(?:désolée?|navrée?)|(?:mes |toutes mes )?excus|malheureusement|"
    r"je (?:ne |n['’])(?:peux|suis|vois|puis|parviens|arrive|dispose|ai)|en tant qu|il (?:m['’]est|est) impossible|"
    r"(?:vous n['’]avez|tu n['’]as) pas|(?:aucune|pas d['’]) ?(?:image|photo)|veuillez (?:fournir|joindre|"
    r"télécharger|envoyer|partager)|"
    r"pourriez[- ]vous|il n['’]y a (?:pas d['’]|aucune )image",
    # Spanish, Portuguese, Italian
    r"lo siento|lo lamento|perd[óo]n|disculp|desafortunadamente|lamentablemente|(?:yo )?no (?:puedo|pude|veo|"
    r"soy capaz|me es posible|"
    r"es posible|tengo|se (?:ha|adjunt|proporcion))|como (?:una? )?(?:ia|modelo|inteligencia|intelig[êe]ncia)|"
    r"(?:por favor,? )(?:adjunt|proporcion|sub|env|carg|forne[çc])|"
    r"no has? (?:adjunt|proporcion|subido)|desculp|sinto muito|lamento|infelizmente|(?:eu )?não (?:posso|"
    r"consigo|vejo|há|foi)|"
    r"mi (?:dispiace|scuso)|purtroppo|(?:io )?non (?:posso|riesco|vedo|è possibile|sono in grado)|scusa|"
    r"spiacente|nessuna immagine",
    # Russian
    r"к сожалению|извините|простите|прошу прощения|я не (?:могу|вижу|в состоянии)|как (?:ии|искусственный|"
    r"языковая)|изображение не|не (?:могу|удаётся|удается)|вибачте|перепрошую|на жаль|я не (?:можу|бачу)",
    # Arabic, Hebrew, Hindi, Thai, Greek
    r"آسف|أعتذر|عذر|للأسف|لا (?:أستطيع|يمكنني|أرى)|لا توجد صورة|بصفتي|كنموذج|סליחה|מצטער|לצערי|אני לא (?:יכול|רואה)|"
    r"(?:मुझे )?(?:खेद|क्षमा|माफ)|मैं .{0,40}(?:नहीं (?:देख|कर|पहचान)|असमर्थ)|ขออภัย|ขอโทษ|เสียใจ|(?:ฉัน|ผม|"
    r"ดิฉัน)?ไม่สามารถ|λυπάμαι|συγγνώμη|δυστυχώς|"
    r"δεν μπορώ",
    # Polish, Czech, Romanian, Hungarian, Dutch, Scandinavian, Finnish
    r"przepraszam|przykro mi|niestety|nie (?:mogę|widzę|jestem w stanie)|jako (?:model|sztuczna|ai)|omlouvám|bohužel|"
    r"nemohu|nevidím|"
    r"(?:îmi pare|ne pare) rău|din păcate|nu pot|sajnálom|sajnos|nem (?:tudom|látom)|(?:het )?spijt me|helaas|"
    r"ik kan .{0,60}(?:niet|geen)|"
    r"ik zie geen|(?:jag|jeg) (?:kan|ser) .{0,40}(?:inte|ikke)|tyvärr|förlåt|beklager|desværre|dessverre|undskyld|"
    r"valitettavasti|"
    r"pahoittelen|anteeksi|en (?:voi|näe)",
    # Turkish, Indonesian, Vietnamese
    r"üzgünüm|özür dilerim|maalesef|.{0,40}(?:göremiyorum|yapamıyorum|tanımlayamıyorum)|maaf|mohon maaf|"
    r"saya tidak (?:dapat|bisa|melihat)|"
    r"sayangnya|xin lỗi|rất tiếc|tôi không (?:thể|thấy)",
)  # fmt: skip

_REFUSAL = any_of(_REFUSALS, r"[\s*_`>#~\-–—•(（.…]{0,12}")


def is_refusal(text: str) -> bool:
    """Whether a text declines to answer, in any of the languages here.

    >>> [is_refusal(text) for text in ("I'm sorry, I can't help.", "抱歉，我无法识别。", "A sorry-looking dog.")]
    [True, True, False]
    """
    return _REFUSAL.match(beginning(text)) is not None
