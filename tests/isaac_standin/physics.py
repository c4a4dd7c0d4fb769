"""PhysX's tensor views over robots that obey at once: joints glide to their targets, the root keeps its velocity.

Only kinematics are right: where links are, how fast they go, in PhysX's conventions (quaternions x y z w, velocities
at centres of mass, joints and links breadth first). There are no forces, no contacts and no gravity; contact forces are
what a test sets.
"""

from __future__ import annotations

import math
import re
import types
from collections.abc import Callable, Sequence
from typing import Any

import torch
from pxr import Usd, UsdPhysics
from torch import Tensor

# Share of the way to its target that a joint goes in a second, at most all of it in a step.
_APPROACH = 40.0


def multiply(left: Tensor, right: Tensor) -> Tensor:
    """The turn `right`, then `left`; x y z w."""
    a, b = left[..., :3], right[..., :3]
    s, t = left[..., 3:], right[..., 3:]
    vector = s * b + t * a + torch.linalg.cross(a, b)
    return torch.cat([vector, s * t - (a * b).sum(-1, keepdim=True)], dim=-1)


def rotate(quat: Tensor, vector: Tensor) -> Tensor:
    """Vectors turned; x y z w."""
    across = 2 * torch.linalg.cross(quat[..., :3], vector)
    return vector + quat[..., 3:] * across + torch.linalg.cross(quat[..., :3], across)


def matching(stage: Usd.Stage, pattern: str) -> list[Usd.Prim]:
    """Prims by a path with * for any part of a name and (one|other)."""
    text = re.escape(pattern)
    for escaped, plain in ((r"\*", "[^/]*"), (r"\(", "("), (r"\)", ")"), (r"\|", "|")):
        text = text.replace(escaped, plain)
    wanted = re.compile(text)
    return [prim for prim in stage.Traverse() if wanted.fullmatch(str(prim.GetPath()))]


def colliders(link: Usd.Prim) -> list[Usd.Prim]:
    """A link's shapes."""
    return [prim for prim in Usd.PrimRange(link) if prim.HasAPI(UsdPhysics.CollisionAPI)]


class SimulationView:
    """All that is simulated.

    Attributes:
        articulations: views of them, as they were asked for.
        calls: names of what was asked of the whole, in order.
    """

    def __init__(self, stage: Usd.Stage, dt: float) -> None:
        self.stage, self.dt, self.gravity = stage, dt, (0.0, 0.0, -9.81)
        self.articulations: list[ArticulationView] = []
        self.calls: list[str] = []
        self._backend = types.SimpleNamespace(initialize_kinematic_bodies=lambda: None)

    def get_gravity(self) -> Any:
        return self.gravity

    def set_gravity(self, gravity: Any) -> None:
        self.gravity = gravity

    def update_articulations_kinematic(self) -> None:
        self.calls.append("update_articulations_kinematic")

    def create_articulation_view(self, pattern: str) -> ArticulationView:
        self.articulations.append(ArticulationView(self, pattern))
        return self.articulations[-1]

    def create_rigid_body_view(self, pattern: str) -> RigidBodyView:
        return RigidBodyView(self, pattern)

    def create_rigid_contact_view(self, pattern: str, filter_patterns: Sequence[str] = (), **_: Any) -> ContactView:
        return ContactView(self, pattern, filter_patterns)

    def step(self) -> None:
        for view in self.articulations:
            view.step(self.dt)


class RigidBodyView:
    """Bodies that contact sensors look at; where they are is not asked of it here."""

    def __init__(self, view: SimulationView, pattern: str) -> None:
        prims = matching(view.stage, pattern)
        self.prim_paths = [str(prim.GetPath()) for prim in prims]
        self.count, self._backend = len(self.prim_paths), object()
        self.max_shapes = max((len(colliders(prim)) for prim in prims), default=0)

    def get_transforms(self) -> Tensor:
        return torch.tensor([[0.0, 0, 0, 0, 0, 0, 1]]).repeat(self.count, 1)


class ContactView:
    """Contact forces; `force` (B, 3) is for a test to set."""

    def __init__(self, view: SimulationView, pattern: str, filters: Sequence[str]) -> None:
        self.count, self.filter_count = len(matching(view.stage, pattern)), len(filters)
        self.force = torch.zeros(self.count, 3)

    def get_net_contact_forces(self, dt: float) -> Tensor:
        return self.force

    def get_contact_force_matrix(self, dt: float) -> Tensor:
        return torch.zeros(self.count, self.filter_count, 3)


class ArticulationView:
    """Equal robots, read from the joints on the stage."""

    def __init__(self, view: SimulationView, pattern: str) -> None:
        roots = matching(view.stage, pattern)
        self.count, self._backend = len(roots), object() if roots else None
        if not roots:
            return
        base = roots[0].GetParent()
        joints: dict[str, UsdPhysics.Joint] = {}
        children: dict[str, list[str]] = {}
        for prim in Usd.PrimRange(base):
            if prim.IsA(UsdPhysics.RevoluteJoint):
                joint = UsdPhysics.Joint(prim)
                parent, child = (body.GetTargets()[0].name for body in (joint.GetBody0Rel(), joint.GetBody1Rel()))
                joints[child] = joint
                children.setdefault(parent, []).append(child)
        self.links, level = list[str](), [roots[0].GetName()]
        while level:  # breadth first, as PhysX parses
            self.links += level
            level = [child for link in level for child in children.get(link, [])]
        parents = {child: parent for parent, several in children.items() for child in several}
        self.parent = [self.links.index(parents[link]) if link in parents else -1 for link in self.links]

        self.dofs = list[str]()
        limits = list[tuple[float, float]]()
        pos, quat, axis = ([], [], [])
        self.dof = list[int]()
        for link in self.links:
            place, turn = (0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0)
            direction, number = (0.0, 0.0, 0.0), -1
            if link in joints:  # all but the root
                hinge = UsdPhysics.RevoluteJoint(joints[link].GetPrim())
                place, rotation = tuple(hinge.GetLocalPos0Attr().Get()), hinge.GetLocalRot0Attr().Get()
                turn = (*rotation.imaginary, rotation.real)
                direction = tuple(float(hinge.GetAxisAttr().Get() == letter) for letter in "XYZ")
                number = len(self.dofs)
                self.dofs.append(hinge.GetPrim().GetName())
                lower, upper = hinge.GetLowerLimitAttr().Get(), hinge.GetUpperLimitAttr().Get()
                limits.append((math.radians(lower), math.radians(upper)))
            pos.append(place)
            quat.append(turn)
            axis.append(direction)
            self.dof.append(number)
        self.pos, self.quat, self.axis = torch.tensor(pos), torch.tensor(quat), torch.tensor(axis)

        count, links, dofs = self.count, len(self.links), len(self.dofs)
        self.shared_metatype = types.SimpleNamespace(
            fixed_base=False,
            dof_count=dofs,
            dof_names=list(self.dofs),
            link_count=links,
            link_names=list(self.links),
        )
        # links of one depth beside their parents, for all to be moved at once
        depth = [0] * links
        for number, parent in enumerate(self.parent[1:], start=1):
            depth[number] = depth[parent] + 1
        members = [[n for n in range(links) if depth[n] == level] for level in range(1, max(depth) + 1)]
        self._levels = [(numbers, [self.parent[n] for n in numbers]) for numbers in members]
        self._known: tuple[Tensor, Tensor, Tensor, Tensor] | None = None
        self.max_fixed_tendons = self.max_spatial_tendons = 0
        self.shapes = [colliders(base.GetChild(link)) for link in self.links]
        self.max_shapes = sum(map(len, self.shapes))
        self.link_paths = [[f"{root.GetParent().GetPath()}/{link}" for link in self.links] for root in roots]
        self.dof_paths = [[f"{root.GetParent().GetPath()}/joints/{dof}" for dof in self.dofs] for root in roots]
        self.root = torch.tensor([0.0, 0, 0, 0, 0, 0, 1]).repeat(count, 1)
        self.velocity = torch.zeros(count, 6)  # of the root's centre of mass
        self.q, self.qd, self.target = (torch.zeros(count, dofs) for _ in range(3))
        self.effort = torch.zeros(count, dofs)
        self.properties = {
            "limits": torch.tensor(limits).view(-1, 2).repeat(count, 1, 1),
            "stiffnesses": torch.zeros(count, dofs),
            "dampings": torch.zeros(count, dofs),
            "armatures": torch.zeros(count, dofs),
            "max_forces": torch.full((count, dofs), 1e9),
            "max_velocities": torch.full((count, dofs), 1e3),
            "friction_properties": torch.zeros(count, dofs, 3),
        }
        inertial = [UsdPhysics.MassAPI(base.GetChild(link)) for link in self.links]
        self.masses = torch.tensor([each.GetMassAttr().Get() or 1.0 for each in inertial]).repeat(count, 1)
        # USD's fallback for an unknown centre of mass is infinite
        centres = [each.GetCenterOfMassAttr().Get() or (0.0, 0.0, 0.0) for each in inertial]
        places = torch.tensor([[float(value) if abs(value) < 1e3 else 0.0 for value in c] for c in centres])
        upright = torch.tensor([[0.0, 0.0, 0.0, 1.0]]).repeat(links, 1)
        self.coms = torch.cat([places, upright], dim=-1).repeat(count, 1, 1)
        # about the centre of mass along the link's axes, and so is `coms`, which PhysX turns to the principal ones
        self.inertias = torch.stack([_inertia(each) for each in inertial]).repeat(count, 1, 1)
        self.materials = torch.ones(count, self.max_shapes, 3)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        match = re.fullmatch(r"(get|set)_dof_(\w+)", name)
        if match and match[2] in self.__dict__.get("properties", {}):
            values = self.properties[match[2]]
            if match[1] == "get":
                return values.clone
            return lambda data, indices: self._put(values, data, indices)
        if name.startswith(("set_fixed_tendon", "set_spatial_tendon", "set_contact", "set_rest")):
            return lambda *_, **__: None
        raise AttributeError(name)

    def get_root_transforms(self) -> Tensor:
        return self.root.clone()

    def set_root_transforms(self, data: Tensor, indices: Any) -> None:
        self._put(self.root, data, indices)

    def get_root_velocities(self) -> Tensor:
        return self.velocity.clone()

    def set_root_velocities(self, data: Tensor, indices: Any) -> None:
        self._put(self.velocity, data, indices)

    def get_dof_positions(self) -> Tensor:
        return self.q.clone()

    def set_dof_positions(self, data: Tensor, indices: Any) -> None:
        self._put(self.q, data, indices)

    def get_dof_velocities(self) -> Tensor:
        return self.qd.clone()

    def set_dof_velocities(self, data: Tensor, indices: Any) -> None:
        self._put(self.qd, data, indices)

    def set_dof_position_targets(self, data: Tensor, indices: Any) -> None:
        self._put(self.target, data, indices)

    def set_dof_velocity_targets(self, data: Tensor, indices: Any) -> None:
        pass

    def set_dof_actuation_forces(self, data: Tensor, indices: Any) -> None:
        self._put(self.effort, data, indices)

    def apply_forces_and_torques_at_position(self, **_: Any) -> None:
        pass

    def get_masses(self) -> Tensor:
        return self.masses.clone()

    def set_masses(self, data: Tensor, indices: Any) -> None:
        self._put(self.masses, data, indices)

    def get_inertias(self) -> Tensor:
        return self.inertias.clone()

    def set_inertias(self, data: Tensor, indices: Any) -> None:
        self._put(self.inertias, data, indices)

    def get_coms(self) -> Tensor:
        return self.coms.clone()

    def set_coms(self, data: Tensor, indices: Any) -> None:
        self._put(self.coms, data, indices)

    def get_material_properties(self) -> Tensor:
        return self.materials.clone()

    def set_material_properties(self, data: Tensor, indices: Any) -> None:
        self._put(self.materials, data, indices)

    def get_link_transforms(self) -> Tensor:
        pos, quat, _, _ = self._kinematics()
        return torch.cat([pos, quat], dim=-1)

    def get_link_velocities(self) -> Tensor:
        """(N, L, 6) at each link's centre of mass, as PhysX tells them."""
        _, quat, linear, angular = self._kinematics()
        arm = rotate(quat, self.coms[..., :3])
        return torch.cat([linear + torch.linalg.cross(angular, arm), angular], dim=-1)

    def get_link_accelerations(self) -> Tensor:
        return torch.zeros(self.count, len(self.links), 6)

    def get_link_incoming_joint_force(self) -> Tensor:
        return torch.zeros(self.count, len(self.links), 6)

    def step(self, dt: float) -> None:
        """Joints that are driven go towards their targets within their limits; the root goes on as it went."""
        driven = (self.properties["stiffnesses"] > 0).float()
        towards = self.q + driven * (self.target - self.q) * min(1.0, dt * _APPROACH)
        lower, upper = self.properties["limits"].unbind(-1)
        after = towards.clamp(lower, upper)
        self.qd, self.q = (after - self.q) / dt, after
        self.root[:, :3] += self.velocity[:, :3] * dt
        self._known = None

    def _kinematics(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(N, L, 3) places, (N, L, 4) turns, (N, L, 3) velocities and (N, L, 3) angular velocities of link origins."""
        if self._known is not None:
            return self._known
        shape = (self.count, len(self.links))
        pos, quat = torch.zeros(*shape, 3), torch.zeros(*shape, 4)
        linear, angular = torch.zeros(*shape, 3), torch.zeros(*shape, 3)
        pos[:, 0], quat[:, 0], angular[:, 0] = self.root[:, :3], self.root[:, 3:], self.velocity[:, 3:]
        arm = rotate(self.root[:, 3:], self.coms[:, 0, :3])
        linear[:, 0] = self.velocity[:, :3] - torch.linalg.cross(angular[:, 0], arm)
        for links, parents in self._levels:
            arm = rotate(quat[:, parents], self.pos[links].expand(self.count, -1, 3))
            pos[:, links] = pos[:, parents] + arm
            linear[:, links] = linear[:, parents] + torch.linalg.cross(angular[:, parents], arm)
            turn = multiply(quat[:, parents], self.quat[links].expand(self.count, -1, 4))
            axis, dofs = self.axis[links].expand(self.count, -1, 3), [self.dof[link] for link in links]
            angular[:, links] = angular[:, parents] + rotate(turn, axis) * self.qd[:, dofs, None]
            half = self.q[:, dofs, None] / 2
            quat[:, links] = multiply(turn, torch.cat([axis * half.sin(), half.cos()], dim=-1))
        self._known = (pos, quat, linear, angular)
        return self._known

    def _put(self, values: Tensor, data: Tensor, indices: Any) -> None:
        self._known = None
        rows = torch.as_tensor(indices).long()
        values[rows] = data.reshape(values.shape)[rows].to(values)


def _inertia(mass: UsdPhysics.MassAPI) -> Tensor:
    """(9,)"""
    moments = torch.tensor(tuple(mass.GetDiagonalInertiaAttr().Get() or (0.0, 0.0, 0.0)))
    if not moments.any():  # USD's way to say that the shapes tell it
        return 0.01 * torch.eye(3).flatten()
    quat = mass.GetPrincipalAxesAttr().Get()
    axes = rotate(torch.tensor([[*quat.imaginary, quat.real]]), torch.eye(3)).T
    return (axes @ moments.diag() @ axes.T).flatten()
