# C types for search_rows.py; without a compiler the module runs as plain Python.
from energysim.mapping.search_state cimport State
from energysim.mapping.search_windows cimport Windows, integer

cdef double INFINITE
cdef integer PLAIN, SLIDES, FIELDS, MANY

cdef class Rows(State):
    cdef double[::1] part_full, part_stay
    cdef double[:, ::1] part_slide, fresh_shared, fresh_alone
    cdef integer[::1] done
    cdef void prepare(self)
    cdef void fill_windows(self)
    cdef double most_kept(self, integer step, integer whole)
    cdef void rows(self, integer level)
    cdef void gather(self, integer level)
    cdef void lower(self, integer level)
    cdef void reach_out(self, integer level)
    cdef integer narrow(self)
    cdef void group(self)
    cdef void extend_row(self, integer level, integer d, integer tile, integer space, integer whole)
    cdef void add_row(self, integer level, integer tile, integer space, integer whole, double own)
    cdef double own(self, integer level, integer tile, integer space, integer whole)
    cdef void bound_boundary(self, integer t, integer level, integer tile, integer space, integer whole, double visits)
    cdef double fixed(self, integer t, integer level, integer tile, integer space, integer whole)
    cdef double least_last(self, integer t, integer c)
    cdef double points(self, integer t, integer level, integer space)
