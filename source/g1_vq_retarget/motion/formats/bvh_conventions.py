"""Which joint of a BVH file is which of SMPL's, by the names of those who write such files."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import takewhile

from g1_vq_retarget.motion.clip import MotionError


def _table(spine: Mapping[str, str], leg: Sequence[str], arm: Sequence[str]) -> dict[str, str]:
    """SMPL's joint -> the file's. `leg` is hip, knee, ankle, foot and `arm` collar, shoulder, elbow, wrist."""
    table = {"pelvis": "Hips", **spine, "head": "Head"}
    for side in ("left", "right"):
        parts = zip(("hip", "knee", "ankle", "foot", "collar", "shoulder", "elbow", "wrist"), [*leg, *arm], strict=True)
        table |= {f"{side}_{joint}": side.capitalize() + name for joint, name in parts if name}
    return table


_LEG = ("UpLeg", "Leg", "Foot", "ToeBase")
_ARM = ("Shoulder", "Arm", "ForeArm", "Hand")

# Convention -> SMPL's joint -> the file's joint. The first convention whose names are all in the file is used. What
# lies between two of them (a second neck, a hip of no length) is folded into the lower one, what hangs below (fingers,
# eyes) is left out. SMPL's joints that a table lacks have no counterpart: spine2 then stands halfway between spine1 and
# spine3, unturned; a foot is the end site of its ankle, unturned.
CONVENTIONS: dict[str, dict[str, str]] = {
    # Ubisoft La Forge's LAFAN1, from its files.
    "lafan1": _table(
        {"spine1": "Spine", "spine2": "Spine1", "spine3": "Spine2", "neck": "Neck"},
        ("UpLeg", "Leg", "Foot", "Toe"),
        _ARM,
    ),
    # NVIDIA's SOMA with 77 joints below `Root`, as in BONES-SEED and Kimodo: the 30 body joints listed in Kimodo's
    # bridges, the loaders of GMR (utils/soma.py) and soma-retargeter.
    "soma": _table(
        {"spine1": "Spine1", "spine2": "Spine2", "spine3": "Chest", "neck": "Neck1"},
        ("Leg", "Shin", "Foot", "ToeBase"),
        _ARM,
    ),
    # Xsens MVN, as in 100STYLE, too: the hierarchy that MVN writes.
    "xsens": _table(
        {"spine1": "Chest", "spine2": "Chest2", "spine3": "Chest4", "neck": "Neck"},
        ("Hip", "Knee", "Ankle", "Toe"),
        ("Collar", "Shoulder", "Elbow", "Wrist"),
    ),
    # The CMU database in cgspeed's conversion, names for MotionBuilder. Joints of no length lie at LHipJoint,
    # LowerBack, LeftShoulder and Neck; Neck1 is where a neck begins.
    "cmu": _table({"spine1": "LowerBack", "spine2": "Spine", "spine3": "Spine1", "neck": "Neck1"}, _LEG, _ARM),
    # MOVIN's third skeleton, 54 joints: skeleton_presets.py of its Isaac plug-in. Noitom's Axis Studio with toes, too.
    "movin_v3": _table({"spine1": "Spine", "spine2": "Spine2", "spine3": "Spine3", "neck": "Neck"}, _LEG, _ARM),
    # Adobe's Mixamo, with or without `mixamorig:`, and those who took its names over (OptiTrack, Nokov, Rokoko).
    "mixamo": _table({"spine1": "Spine", "spine2": "Spine1", "spine3": "Spine2", "neck": "Neck"}, _LEG, _ARM),
    # Noitom's Perception Neuron (Axis Neuron), 59 joints: toes are end sites of the feet.
    "neuron": _table(
        {"spine1": "Spine", "spine2": "Spine2", "spine3": "Spine3", "neck": "Neck"}, ("UpLeg", "Leg", "Foot", ""), _ARM
    ),
    # MOVIN TRACIN, 51 joints with fingers and two spines, as in g1-moves: the same skeleton_presets.py.
    "movin": _table({"spine1": "Spine", "spine3": "Spine1", "neck": "Neck"}, _LEG, _ARM),
}


def find_joints(names: Sequence[str]) -> tuple[str, dict[str, int]]:
    """The convention of a file, and where SMPL's joints stand among the file's.

    A namespace (`mixamorig:`) and a prefix that all names share (`mixamorig_`, `Skeleton1_`) do not count.

    Raises:
        MotionError: no convention's names are all there. Names the nearest convention and what is missing of it.
    """
    bare = _without_prefix(names)
    missing = {
        convention: [name for name in table.values() if name not in bare] for convention, table in CONVENTIONS.items()
    }
    convention = min(missing, key=lambda key: len(missing[key]))
    if absent := missing[convention]:
        verb = "is" if len(absent) == 1 else "are"
        raise MotionError(
            f"no skeleton known here ({', '.join(CONVENTIONS)}): of {convention}'s joints {', '.join(absent)} {verb} "
            "missing; rename the file's joints to one of these"
        )
    joints = {joint: bare.index(name) for joint, name in CONVENTIONS[convention].items()}
    if twice := [name for name in CONVENTIONS[convention].values() if bare.count(name) > 1]:
        raise MotionError(f"{bare.count(twice[0])} joints are named {twice[0]}: write one skeleton a file")
    return convention, joints


def _without_prefix(names: Sequence[str]) -> list[str]:
    names = [re.split(r"[:|]", name)[-1] for name in names]
    # what the first and the last in the alphabet share, all do
    pairs = zip(min(names), max(names), strict=False)
    shared = "".join(letter for letter, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    cut = re.match(r"mixamorig\d*[_\- ]?|.*[_\- ]", shared)
    return [name.removeprefix(cut[0]) for name in names] if cut and len(names) > 1 else names
