# C types for search_uneven_rows.py; without a compiler the module runs as plain Python.
cimport cython
from energysim.mapping.search_tree cimport Tree
from energysim.mapping.search_windows cimport integer

cdef double INFINITE
cdef integer PLAIN, SLIDES, MOST_ROWS

cdef class UnevenRows(Tree):
    cdef public integer marks, segments
    cdef integer[::1] mark_tensor, mark_before, mark_following, mark_segment, mark_part
    cdef double[::1] mark_up, mark_into, mark_first, mark_last_parent, mark_last_child, part_room, outer_pj, used_bits
    cdef double[:, ::1] mark_cross, mark_last_cross, mark_bits, left_pj, mark_pj
    cdef integer[::1] segment_level, segment_mark, left_segment, left_set, begin_segment, begin_set
    cdef unsigned char[::1] segment_closed
    cdef integer[:, ::1] left_row
    cdef integer[::1] row_begin, open_begin, where
    cdef integer open_number
    cdef void rows(self, integer level)
    cdef double settle(self, integer level)
    @cython.locals(t=integer, k=integer, level=integer, s=integer)
    cpdef double bounds(self, double limit_pj)
    cdef integer all_of(self, integer s)
    @cython.locals(t=integer, g=integer)
    cdef void load(self, integer k, integer level, integer parent)
    @cython.locals(k=integer)
    cdef void load_compute(self, integer t)
    cdef integer bound_parent(self, integer k)
    @cython.locals(total=double, g=integer)
    cdef double least_final(self, integer k)
    @cython.locals(total=double, k=integer, t=integer)
    cdef double fixed_root(self)
    @cython.locals(s=integer, t=integer, twice=integer, level=integer, last=integer, tile=integer, d=integer, least=double, cost=double)
    cdef void bound_mark(self, integer k)
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
    cdef void lower_left(self, integer row)
    @cython.locals(around=double[:, ::1], last=integer, first=integer, row=integer, left=integer, k=integer, rest=integer, tile=integer, cost=double)
    cdef void bound_outside(self)
    @cython.locals(other=double, tile=integer, d=integer, step=integer, number=integer, block=integer, i=integer, j=integer, base=integer, n=integer)
    cdef void raise_outer(self, double[::1] values)
    @cython.locals(level=integer, w=integer, tile=integer, i=integer)
    cdef void rows_inside(self, integer s)
    @cython.locals(last=integer, first=integer, ready=integer, choice=integer, chosen=integer, rest=double, outer=double, k=integer, t=integer, level=integer, least=double)
    cdef void open_marks(self, integer s, integer tile)
    @cython.locals(first=integer, k=integer, other=integer, bits=double)
    cdef integer begin_fits(self, integer s, integer chosen, integer tile)
    @cython.locals(least=double, outermost=integer, d=integer, cost=double)
    cdef double least_case(self, integer s, integer chosen)
    @cython.locals(first=integer, cost=double, k=integer, t=integer)
    cdef double case_of(self, integer s, integer chosen, integer d)
    @cython.locals(level=integer, k=integer)
    cdef void load_firsts(self, integer s)
    @cython.locals(level=integer, step=integer, number=integer, i=integer, j=integer, w=integer)
    cdef void extend_space(self, integer s, integer d, integer tile, integer space, integer whole)
    @cython.locals(level=integer, last=integer, outer=double, fixed=double, k=integer, t=integer, n=integer, choice=integer, chosen=integer, rest=double, total=double)
    cdef void price_row(self, integer s, integer tile, integer space, integer whole)
    @cython.locals(last=integer, total=double, t=integer, steps=double, c=integer)
    cdef double fixed_inside(self, integer s, integer level, integer tile, integer space, integer whole)
    @cython.locals(level=integer, last=integer, total=double, k=integer, t=integer, most=double, left=double, copies=double, g=integer)
    cdef double first_visits(self, integer s, integer tile, integer space, integer whole)
    @cython.locals(n=integer)
    cdef void keep_row(self, integer tile, integer space, integer whole, integer choice, double total)
