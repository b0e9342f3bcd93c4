"""Client of OpenOffload devices."""
