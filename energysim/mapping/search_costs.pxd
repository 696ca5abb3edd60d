# C types for search_costs.py; without a compiler the module runs as plain Python.
from energysim.mapping.search_rows cimport Rows
from energysim.mapping.search_windows cimport integer

cdef double INFINITE
cdef integer PLAIN

cdef class Costs(Rows):
    cdef integer[::1] loop_dim, loop_bound, loop_step
    cdef double[::1] loop_times, part_loop
    cdef void make_room(self)
    cdef void place(self, integer level, integer row)
    cdef double settle(self, integer level)
    cdef double visits(self, integer t, integer level, integer done)
    cdef object spread_loops(self, integer w, integer side, integer level)
    cdef integer touched(self, integer w)
    cdef double finished(self, integer t, integer child)
    cdef double flow(self, integer level)
    cdef integer loops(self, integer level)
    cdef double boundary(self, integer t, integer child, integer level)
    cdef double arrivals(self, integer t, integer child, integer level, integer parent, integer apart, integer number)
    cdef void setting(self, integer w, integer t, integer child, integer level, integer apart)
    cdef void ports(self, integer t, integer child, double shared, double alone)
    cdef void compute_ports(self, integer t)
    cdef double cycles(self, integer level)
    cdef void clear_ports(self, integer level)
