"""PhysX's tensor views over robots that MuJoCo steps: they fall, stand, are driven and pushed.

Towards Isaac Lab they behave as those of `physics`, of which they are made: what is written and read has the same
conventions and the same kinematics. Only a step is another: masses, centres of mass, inertias, joints and shapes from
the stage, drives as Isaac Lab has set them, gravity, and contacts with the ground.

Left out of PhysX: contacts of robots with themselves and one another, restitution, static friction apart from dynamic,
limits of joints' speeds, accelerations of links and forces in joints (they are read as zero).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import mujoco
import numpy as np
import torch
from pxr import Gf, PhysxSchema, Usd, UsdGeom, UsdPhysics, UsdShade
from torch import Tensor

from isaac_standin.physics import ArticulationView, ContactView, SimulationView, matching, rotate


class Ground(NamedTuple):
    """A level plane: height, m; coefficient of friction, which multiplies that of what stands on it."""

    height: float
    friction: float


class MujocoSimulationView(SimulationView):
    """All that is simulated, each robot in a world of its own above the same ground.

    Attributes:
        ground: the stage's plane, if there is one.
    """

    def __init__(self, stage: Usd.Stage, dt: float) -> None:
        super().__init__(stage, dt)
        self.ground = _ground_of(stage)

    def create_articulation_view(self, pattern: str) -> ArticulationView:
        self.articulations.append(MujocoArticulationView(self, pattern))
        return self.articulations[-1]

    def create_rigid_contact_view(self, pattern: str, filter_patterns: Sequence[str] = (), **_: Any) -> ContactView:
        return MujocoContactView(self, pattern, filter_patterns)


class MujocoContactView(ContactView):
    """Contact forces along the ground's normal, of the last step; those against certain others are not told."""

    def __init__(self, view: SimulationView, pattern: str, filters: Sequence[str]) -> None:
        super().__init__(view, pattern, filters)
        if filters:
            raise NotImplementedError(f"contacts of {pattern} with {', '.join(filters)}")
        self._view, self._paths = view, [str(prim.GetPath()) for prim in matching(view.stage, pattern)]
        self._rows: list[int] | None = None

    def get_net_contact_forces(self, dt: float) -> Tensor:
        robots = self._view.articulations
        if self._rows is None:  # by now all are there
            paths = [path for each in robots for own in each.link_paths for path in own]
            rows = {path: row for row, path in enumerate(paths)}
            self._rows = [rows[path] for path in self._paths]
        return torch.cat([each.contact_force.flatten(0, 1) for each in robots])[self._rows]


class MujocoArticulationView(ArticulationView):
    """Equal robots, each a model of MuJoCo's that is compiled anew when its properties were changed.

    The state that is read is the base's, in float32. MuJoCo keeps its own, and takes the base's over for robots that
    were written to.

    Attributes:
        data: MuJoCo's, of each robot that was ever stepped.
        contact_force: (N, L, 3) upon each link by the ground in the last step, along its normal, N.
    """

    def __init__(self, view: MujocoSimulationView, pattern: str) -> None:
        super().__init__(view, pattern)
        if not self.count:
            return
        self._view = view
        bodies = [view.stage.GetPrimAtPath(path) for path in self.link_paths[0]]
        self._shapes = [[_shape(prim, body) for prim in own] for own, body in zip(self.shapes, bodies, strict=True)]
        self._weightless = [bool(PhysxSchema.PhysxRigidBodyAPI(body).GetDisableGravityAttr().Get()) for body in bodies]
        self.data: dict[int, mujoco.MjData] = {}
        self.target_velocity = torch.zeros_like(self.target)
        self.contact_force = torch.zeros(self.count, len(self.links), 3)
        self._placed = set(range(self.count))  # whose state was written, and whose properties were
        self._changed = set(range(self.count))

    def set_dof_velocity_targets(self, data: Tensor, indices: Any) -> None:
        self._put(self.target_velocity, data, indices)

    def apply_forces_and_torques_at_position(self, **_: Any) -> None:
        raise NotImplementedError("forces upon links: push by writing velocities")

    def step(self, dt: float) -> None:
        """A step of MuJoCo's for each robot."""
        stiffness, damping = self.properties["stiffnesses"], self.properties["dampings"]
        # a drive's force is this, less stiffness times place and damping times speed, which MuJoCo adds: see `_compile`
        asked = stiffness * self.target + damping * self.target_velocity
        for row in range(self.count):
            if row in self._changed:
                self._compile(row)
            data, model = self.data[row], self.data[row].model
            if row in self._changed | self._placed:
                self._load(row, data)
            model.opt.gravity[:] = tuple(self._view.gravity)
            data.ctrl[:], data.qfrc_applied[self._dof_addresses] = asked[row].numpy(), self.effort[row].numpy()
            mujoco.mj_step(model, data)
        self._read()
        self._changed, self._placed, self._known = set(), set(), None

    def _put(self, values: Tensor, data: Tensor, indices: Any) -> None:
        super()._put(values, data, indices)
        rows = set(torch.as_tensor(indices).tolist())
        if any(values is state for state in (self.root, self.velocity, self.q, self.qd)):
            self._placed |= rows
        elif not any(values is drive for drive in (self.target, self.target_velocity, self.effort)):
            self._changed |= rows

    def _compile(self, row: int) -> None:
        spec = mujoco.MjSpec()
        spec.compiler.degree, option = False, spec.option
        option.timestep = self._view.dt
        option.integrator = mujoco.mjtIntegrator.mjINT_IMPLICITFAST  # drives are implicit, as PhysX's are
        option.cone = mujoco.mjtCone.mjCONE_ELLIPTIC
        option.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET  # what diverges is to be seen
        # shapes of robots meet the ground's and no other
        ground = self._view.ground
        if ground is not None:
            plane = spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_PLANE, size=(0, 0, 1), contype=1, conaffinity=0)
            plane.pos = (0, 0, ground.height)
        limits, properties = self.properties["limits"][row], {name: of[row] for name, of in self.properties.items()}
        friction = iter(self.materials[row, :, 1].tolist())  # the dynamic one
        made = list[Any]()
        for number, link in enumerate(self.links):
            x, y, z, w = self.quat[number].tolist()
            parent = spec.worldbody if self.parent[number] < 0 else made[self.parent[number]]
            body = parent.add_body(name=link, pos=self.pos[number].tolist(), quat=(w, x, y, z))
            inertia = self.inertias[row, number].view(3, 3).double()
            body.explicitinertial, body.mass = True, float(self.masses[row, number])
            body.ipos = self.coms[row, number, :3].tolist()
            body.fullinertia = [float(inertia[i, j]) for i, j in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))]
            body.gravcomp = float(self._weightless[number])
            dof = self.dof[number]
            if dof < 0:
                body.add_freejoint()
            else:
                joint = body.add_joint(name=self.dofs[dof], type=mujoco.mjtJoint.mjJNT_HINGE)
                joint.axis, joint.limited, joint.range = self.axis[number].tolist(), True, limits[dof].tolist()
                joint.armature = float(properties["armatures"][dof])
                joint.frictionloss = float(properties["friction_properties"][dof, 0])
            for shape in self._shapes[number]:
                geom = body.add_geom(type=shape.kind, size=shape.size, pos=shape.pos, quat=shape.quat_wxyz)
                geom.contype, geom.conaffinity, geom.priority = 0, int(shape.collides), 1
                slide = next(friction)
                geom.friction[0] = slide * ground.friction if ground else slide
            made.append(body)
        for dof, name in enumerate(self.dofs):
            drive = spec.add_actuator(name=name, target=name, trntype=mujoco.mjtTrn.mjTRN_JOINT)
            stiffness, damping = float(properties["stiffnesses"][dof]), float(properties["dampings"][dof])
            drive.biastype = mujoco.mjtBias.mjBIAS_AFFINE
            drive.biasprm[:3] = (0.0, -stiffness, -damping)
            most = float(properties["max_forces"][dof])
            drive.forcelimited, drive.forcerange = True, (-most, most)
        model = spec.compile()
        self.data[row] = mujoco.MjData(model)
        self._link_of = np.array([self.links.index(model.body(body).name) for body in range(1, model.nbody)])
        joints = [model.joint(name).id for name in self.dofs]
        self._joint_addresses, self._dof_addresses = model.jnt_qposadr[joints], model.jnt_dofadr[joints]

    def _load(self, row: int, data: mujoco.MjData) -> None:
        quat, (linear, spin) = self.root[row, 3:], self.velocity[row].split(3)
        x, y, z, w = quat.tolist()
        # a free joint has the velocity of its link's origin in the world, but turns in the link's frame
        linear = linear - torch.linalg.cross(spin, rotate(quat, self.coms[row, 0, :3]))
        spin = rotate(quat * torch.tensor([-1.0, -1.0, -1.0, 1.0]), spin)
        data.qpos[:7], data.qvel[:6] = [*self.root[row, :3].tolist(), w, x, y, z], [*linear.tolist(), *spin.tolist()]
        data.qpos[self._joint_addresses] = self.q[row].numpy()
        data.qvel[self._dof_addresses] = self.qd[row].numpy()
        data.qacc_warmstart[:] = 0.0

    def _read(self) -> None:
        every = [self.data[row] for row in range(self.count)]
        qpos = torch.from_numpy(np.stack([data.qpos for data in every])).float()
        qvel = torch.from_numpy(np.stack([data.qvel for data in every])).float()
        quat = qpos[:, [4, 5, 6, 3]]
        spin = rotate(quat, qvel[:, 3:6])
        self.root[:] = torch.cat([qpos[:, :3], quat], dim=-1)
        arm = rotate(quat, self.coms[:, 0, :3])
        self.velocity[:] = torch.cat([qvel[:, :3] + torch.linalg.cross(spin, arm), spin], dim=-1)
        self.q[:], self.qd[:] = qpos[:, self._joint_addresses], qvel[:, self._dof_addresses]
        force = np.zeros((self.count, len(self.links), 3))
        for row, data in enumerate(every):
            contact, touching = data.contact, data.contact.efc_address >= 0
            # the normal goes from the first shape, which is the ground, to the second
            links = self._link_of[data.model.geom_bodyid[contact.geom2[touching]] - 1]
            size = data.efc_force[contact.efc_address[touching], None]
            np.add.at(force[row], links, size * contact.frame[touching, :3])
        self.contact_force = torch.from_numpy(force).float()


class _Shape(NamedTuple):
    """A geom of MuJoCo's in its link's frame."""

    kind: Any
    size: list[float]
    pos: list[float]
    quat_wxyz: list[float]
    collides: bool


def _shape(prim: Usd.Prim, link: Usd.Prim) -> _Shape:
    matrix, _ = UsdGeom.XformCache().ComputeRelativeTransform(prim, link)
    place = Gf.Transform(matrix)
    turn, scale = place.GetRotation().GetQuat(), place.GetScale()
    if prim.IsA(UsdGeom.Capsule):
        form = UsdGeom.Capsule(prim)
        if form.GetAxisAttr().Get() != "Z":
            raise NotImplementedError(f"{prim.GetPath()}: only capsules along z are read here")
        kind, size = mujoco.mjtGeom.mjGEOM_CAPSULE, [form.GetRadiusAttr().Get(), form.GetHeightAttr().Get() / 2, 0.0]
    elif prim.IsA(UsdGeom.Sphere):
        kind, size = mujoco.mjtGeom.mjGEOM_SPHERE, [UsdGeom.Sphere(prim).GetRadiusAttr().Get(), 0.0, 0.0]
    elif prim.IsA(UsdGeom.Cube):
        half = UsdGeom.Cube(prim).GetSizeAttr().Get() / 2
        kind, size = mujoco.mjtGeom.mjGEOM_BOX, [half * length for length in scale]
    else:
        raise NotImplementedError(f"{prim.GetPath()}: a {prim.GetTypeName()} is not read here")
    collides = bool(UsdPhysics.CollisionAPI(prim).GetCollisionEnabledAttr().Get())
    return _Shape(kind, size, list(place.GetTranslation()), [turn.real, *turn.imaginary], collides)


def _ground_of(stage: Usd.Stage) -> Ground | None:
    for prim in stage.Traverse():
        if prim.IsA(UsdGeom.Plane) and prim.HasAPI(UsdPhysics.CollisionAPI):
            height = UsdGeom.XformCache().GetLocalToWorldTransform(prim).ExtractTranslation()[2]
            material, _ = UsdShade.MaterialBindingAPI(prim).ComputeBoundMaterial("physics")
            friction = UsdPhysics.MaterialAPI(material.GetPrim()).GetDynamicFrictionAttr().Get() if material else 1.0
            return Ground(float(height), float(friction))
    return None
