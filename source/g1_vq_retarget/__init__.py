"""Human motion to Unitree G1 motion, through one shared vocabulary of discrete tokens.

    from g1_vq_retarget.motion.formats import load_motion, save_motion
    from g1_vq_retarget.retarget import Retargeter

Importing the package imports neither torch nor a simulator.
"""
