"""The link table of a robot, read from its data file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources
from itertools import pairwise

import numpy as np
import yaml
from scipy.spatial.transform import Rotation

from g1_vq_retarget.errors import UserError


@dataclass(frozen=True)
class Motor:
    """What turns a joint, after the gears.

    Attributes:
        effort: largest torque, N m.
        velocity: largest speed, rad/s.
        armature: reflected rotor inertia, kg m^2.
    """

    effort: float
    velocity: float
    armature: float


@dataclass(frozen=True)
class Joint:
    """A hinge through its link's origin. `axis` in the link's frame; `lower`, `upper`, `default` in rad."""

    name: str
    axis: tuple[float, float, float]
    lower: float
    upper: float
    default: float
    motor: Motor


@dataclass(frozen=True)
class Capsule:
    """A coarse shape in the link's frame: the segment from `start` to `end`, thickened by `radius` (m)."""

    start: tuple[float, float, float]
    end: tuple[float, float, float]
    radius: float


@dataclass(frozen=True)
class Link:
    """A rigid body: place in the parent's frame (m, wxyz), inertia about `com`, hinge (none for the root)."""

    name: str
    parent: str | None
    pos: tuple[float, float, float]
    quat_wxyz: tuple[float, float, float, float]
    joint: Joint | None
    mass: float
    com: tuple[float, float, float]
    inertia_quat_wxyz: tuple[float, float, float, float]
    inertia_diagonal: tuple[float, float, float]
    capsules: tuple[Capsule, ...]


@dataclass(frozen=True)
class RobotModel:
    """A robot as data. Links and joints stand depth first (MuJoCo, SDK order); every link but the root has a hinge.

    Attributes:
        name: short name, the stem of the data file.
        title: name for people.
        links: parents before children; joint `i` moves link `i + 1`.
        default_root_height: height of the root in the default pose, m.
        feet, hands: link names, left first.
        legs: hip, knee and ankle link of each leg, left first.
        arms: shoulder, elbow and wrist link of each arm, left first.
        tracked: the links a tracking policy follows.
        anchor: the link that a tracking policy's frame hangs on.
    """

    name: str
    title: str
    links: tuple[Link, ...]
    default_root_height: float
    feet: tuple[str, ...]
    legs: tuple[tuple[str, ...], ...]
    arms: tuple[tuple[str, ...], ...]
    hands: tuple[str, ...]
    tracked: tuple[str, ...]
    anchor: str

    @cached_property
    def joints(self) -> tuple[Joint, ...]:
        return tuple(link.joint for link in self.links if link.joint is not None)

    @cached_property
    def link_names(self) -> tuple[str, ...]:
        return tuple(link.name for link in self.links)

    @cached_property
    def joint_names(self) -> tuple[str, ...]:
        """Joint names in MuJoCo order, the package's own."""
        return tuple(joint.name for joint in self.joints)

    @cached_property
    def parents(self) -> tuple[int, ...]:
        """Index of each link's parent, -1 for the root."""
        index = {name: i for i, name in enumerate(self.link_names)}
        return tuple(-1 if link.parent is None else index[link.parent] for link in self.links)

    @cached_property
    def link_names_isaac(self) -> tuple[str, ...]:
        """Link names in Isaac Lab's order: breadth first over the same tree."""
        level, order = [0], list[int]()
        while level:
            order += level
            level = [child for parent in level for child, p in enumerate(self.parents) if p == parent]
        return tuple(self.link_names[i] for i in order)

    @cached_property
    def joint_names_isaac(self) -> tuple[str, ...]:
        """Joint names in Isaac Lab's order."""
        by_link = {link.name: link.joint for link in self.links}
        joints = (by_link[name] for name in self.link_names_isaac)
        return tuple(joint.name for joint in joints if joint is not None)

    @cached_property
    def limits(self) -> np.ndarray:
        """(J, 2) lower and upper limit of each joint, rad."""
        return np.array([(joint.lower, joint.upper) for joint in self.joints])

    @cached_property
    def default_joint_pos(self) -> np.ndarray:
        """(J,) default pose, rad."""
        return np.array([joint.default for joint in self.joints])

    @cached_property
    def leg_length(self) -> float:
        """Hip to knee to ankle in straight lines, with all joints at zero, mean of the legs, m."""
        pos: dict[str | None, np.ndarray] = {None: np.zeros(3)}
        rotation: dict[str | None, Rotation] = {None: Rotation.identity()}
        for link in self.links:
            pos[link.name] = pos[link.parent] + rotation[link.parent].apply(link.pos)
            rotation[link.name] = rotation[link.parent] * Rotation.from_quat(link.quat_wxyz, scalar_first=True)
        bones = [pos[end] - pos[start] for leg in self.legs for start, end in pairwise(leg)]
        return float(np.linalg.norm(bones, axis=1).sum() / len(self.legs))

    def link_indices(self, names: Sequence[str]) -> list[int]:
        """Indices of links in this model's order; ValueError names an unknown one."""
        return index_by_name(self.link_names, names)


def index_by_name(have: Sequence[str], want: Sequence[str]) -> list[int]:
    """Indices `i` such that `[have[k] for k in i] == want`, so that `array[..., i]` is in the order of `want`.

    Raises:
        ValueError: a wanted name is absent, or a name stands twice in `have`.
    """
    index = {name: i for i, name in enumerate(have)}
    if len(index) != len(have):
        raise ValueError(f"names are not unique: {sorted(name for name in index if list(have).count(name) > 1)}")
    missing = [name for name in want if name not in index]
    if missing:
        raise ValueError(f"{', '.join(missing)} not among {', '.join(have)}")
    return [index[name] for name in want]


@cache
def load_robot(name: str = "g1") -> RobotModel:
    """Read `robot/<name>.yaml` of this package.

    Raises:
        UserError: there is no such robot.
    """
    file = resources.files("g1_vq_retarget.robot").joinpath(f"{name}.yaml")
    if not file.is_file():
        raise UserError(f"no robot '{name}' in this package; it knows: g1")
    text = file.read_text(encoding="utf-8")
    table = yaml.safe_load(text)
    motors = {key: _motor(**entry) for key, entry in table["motors"].items()}
    return RobotModel(
        name=table["name"],
        title=table["title"],
        links=tuple(_link(entry, motors) for entry in table["links"]),
        default_root_height=table["default_root_height"],
        feet=tuple(table["feet"]),
        legs=tuple(tuple(leg) for leg in table["legs"]),
        arms=tuple(tuple(arm) for arm in table["arms"]),
        hands=tuple(table["hands"]),
        tracked=tuple(table["tracked"]),
        anchor=table["anchor"],
    )


def _motor(rotor_inertia: list[float], gears: list[float], effort: float, velocity: float, count: int) -> Motor:
    # Each rotor spins as fast as the gears behind it tell, and inertia grows with the square of the ratio.
    _, first, second = gears
    sun, carrier, output = rotor_inertia
    armature = sun * (first * second) ** 2 + carrier * second**2 + output
    return Motor(effort=count * effort, velocity=velocity, armature=count * armature)


def _link(entry: dict, motors: dict[str, Motor]) -> Link:
    joint = entry.get("joint")
    inertial = entry["inertial"]
    return Link(
        name=entry["name"],
        parent=entry["parent"],
        pos=tuple(entry["pos"]),
        quat_wxyz=tuple(entry["quat_wxyz"]),
        joint=None
        if joint is None
        else Joint(
            name=joint["name"],
            axis=tuple(joint["axis"]),
            lower=joint["range"][0],
            upper=joint["range"][1],
            default=joint["default"],
            motor=motors[joint["motor"]],
        ),
        mass=inertial["mass"],
        com=tuple(inertial["com"]),
        inertia_quat_wxyz=tuple(inertial["quat_wxyz"]),
        inertia_diagonal=tuple(inertial["diagonal"]),
        capsules=tuple(Capsule(tuple(c["from"]), tuple(c["to"]), c["radius"]) for c in entry.get("capsules", [])),
    )
