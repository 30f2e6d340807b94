"""Numbers of the original VideoChat2, and whether this model computes the same.

    python -m tests.parity FOLDER

`vectors/` holds them as they were made by running the original (its README says how);
`checks/` has one module for each kind. A vector is recognised by what it holds, never by its
name: a folder with other configurations and seeds is checked in the same way.
"""
