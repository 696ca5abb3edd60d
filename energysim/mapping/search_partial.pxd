# C types for search_partial.py; without a compiler the module runs as plain Python.
cimport cython
from energysim.mapping.search_rows cimport Rows
from energysim.mapping.search_windows cimport Windows, integer

cdef integer PLAIN, TIME, APART, TOGETHER, HANDED, TILE

cdef class Partial(Rows):
    cdef integer[::1] loop_dim, loop_level, loop_bound, loop_step, chain_bound, chain_kind, chain_loop
    cdef double[::1] loop_times, sum_held, sum_kept
    cdef integer[:, ::1] part_bound, part_kind
    cdef integer[::1] part_number, sum_key
    cdef integer sums
    cdef void make_loops(self)
    @cython.locals(d=integer, outer=integer, tile=integer, whole=integer, cut=integer)
    cdef void find_cuts(self, integer level) noexcept
    @cython.locals(before=double, number=integer, c=integer, k=integer, d=integer, bound=integer)
    cdef integer loops(self, integer level)
    @cython.locals(number=integer, g=integer, k=integer, factor=integer, kind=integer, inside=integer)
    cdef integer chain(self, integer d, integer t, integer child, integer level, integer apart) noexcept
    @cython.locals(stride=integer, inside=integer, i=integer, total=integer, left=integer, bound=integer)
    cdef integer covered(self, integer size, integer number, integer advanced, integer own, integer mode) noexcept
    @cython.locals(kind=integer)
    cdef integer moves(self, integer i, integer advanced, integer own, integer mode) noexcept
    @cython.locals(size=integer)
    cdef double untouched(self, integer d, integer number, integer advanced) noexcept
    @cython.locals(size=integer, stride=integer, least=integer, tile=integer, i=integer, kind=integer, held=integer, moved=integer)
    cdef double waiting_words(self, integer d, integer number, integer advanced) noexcept
    @cython.locals(total=double, i=integer, d=integer)
    cdef double partial_arrivals(self, integer t, integer child, integer level, integer apart, integer number)
    @cython.locals(total=double, w=integer, side=integer, place=integer, d=integer, length=integer)
    cdef double words_at(self, integer t, integer child, integer level, integer apart, integer advanced)
    @cython.locals(number=integer, found=integer, i=integer, kind=integer, part=integer, bound=integer)
    cdef void dim_parts(self, integer side, integer d, integer t, integer child, integer level, integer apart, integer advanced) noexcept
    @cython.locals(windows=Windows, code=integer, side=integer, i=integer, mask=integer, slot=integer)
    cdef integer window_sums(self, integer w)
    @cython.locals(number=integer, mask=integer, i=integer, slot=integer)
    cdef void more_sums(self)
    @cython.locals(d=integer, i=integer)
    cdef object rank_dim(self, integer w, integer side)
    @cython.locals(total=double, d=integer, number=integer)
    cdef double copies(self, integer t, integer level) noexcept
    @cython.locals(total=double, d=integer, size=integer, number=integer, spread=integer, g=integer)
    cdef double partial_steps(self, integer level) noexcept
