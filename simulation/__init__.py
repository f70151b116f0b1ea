"""A world without processes, sockets or disks, in which the core is driven through schedules."""
