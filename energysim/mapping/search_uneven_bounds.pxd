# C types for search_uneven_bounds.py; without a compiler the module runs as plain Python.
cimport cython
from energysim.mapping.search_tree cimport Tree
from energysim.mapping.search_windows cimport integer

cdef double INFINITE
cdef integer PLAIN, SLIDES, EVERY

cdef class UnevenBounds(Tree):
    cdef public integer marks, segments
    cdef integer[::1] mark_tensor, mark_before, mark_following, mark_segment, mark_part
    cdef double[::1] mark_up, mark_into, mark_first, mark_last_parent, mark_last_child, part_room, outer_pj, used_bits
    cdef double[:, ::1] mark_cross, mark_last_cross, mark_bits, left_pj, mark_pj, least_pj
    cdef integer[::1] segment_level, segment_mark, left_segment, left_set, begin_segment, begin_set
    cdef unsigned char[::1] segment_closed
    cdef unsigned char[:, ::1] mark_allowed
    cdef integer[:, ::1] left_row, at_mark
    cdef integer[::1] row_begin, open_begin, where
    cdef integer open_number
    cdef void rows(self, integer level)
    cdef double settle(self, integer level)
    @cython.locals(number=integer)
    cdef integer all_of(self, integer s)
    @cython.locals(t=integer, g=integer)
    cdef void load(self, integer k, integer level, integer parent)
    @cython.locals(k=integer)
    cdef void load_compute(self, integer t)
    @cython.locals(level=integer)
    cdef integer bound_parent(self, integer k)
    @cython.locals(total=double, g=integer)
    cdef double least_final(self, integer k)
    @cython.locals(total=double, k=integer, t=integer)
    cdef double fixed_root(self)
    @cython.locals(s=integer, t=integer, level=integer, copies=double, shared=integer)
    cdef integer share_class(self, integer k, integer space)
    @cython.locals(s=integer, t=integer, twice=integer, level=integer, last=integer, tile=integer, d=integer, least=double, cost=double, start=integer, fan=double, row=integer)
    cdef void bound_mark(self, integer k, integer shared)
    @cython.locals(s=integer, t=integer, start=integer, level=integer, parent=integer)
    cdef integer load_inside(self, integer k)
    @cython.locals(d=integer, i=integer)
    cdef void unfold(self, integer tile)
    @cython.locals(s=integer, first=integer, part=integer, other=integer, bits=double)
    cdef integer has_room(self, integer k, integer left, integer tile)
    @cython.locals(s=integer, first=integer, before=integer)
    cdef integer is_next(self, integer k, integer left)
    @cython.locals(row=integer, left=integer, k=integer, rest=integer, tile=integer, cost=double)
    cdef void bound_left(self, integer s)
    @cython.locals(level=integer, tile=integer)
    cdef void bound_next_segment(self, integer s, integer row)
    @cython.locals(other=double, d=integer, step=integer, number=integer, block=integer, i=integer, j=integer, base=integer, n=integer)
    cdef void lower_in(self, double[:, ::1] table, integer row)
    @cython.locals(joint=double, single=double, most=double, k=integer)
    cdef double rest(self, integer s, integer left, integer tile, integer space)
    @cython.locals(around=double[:, ::1], last=integer, first=integer, row=integer, left=integer, k=integer, rest=integer, tile=integer, cost=double)
    cdef void bound_outside(self)
    @cython.locals(other=double, tile=integer, d=integer, step=integer, number=integer, block=integer, i=integer, j=integer, base=integer, n=integer)
    cdef void raise_outer(self, double[::1] values)
