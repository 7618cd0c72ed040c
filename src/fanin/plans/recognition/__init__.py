"""From values to the law that they were drawn from, as far as their number lets one tell.

`recognise(values, target)` gives a `Recognised`: the law, in the words of the field, and how sure that is. Each test
allows for what chance does to so many values. To add a law of whole matrices: a line in `structure.STRUCTURES`; a name
for a scale: a line in `names.py`.
"""

from fanin.plans.recognition.recognise import Recognised, recognise

__all__ = ["Recognised", "recognise"]
