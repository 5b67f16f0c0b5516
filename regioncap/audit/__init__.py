"""How far the captions of an output follow their boxes: asked again with other numbers and in another order.

`measure` takes captions that are already there and asks for nothing.
"""
