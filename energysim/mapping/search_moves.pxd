# C types for search_moves.py; without a compiler the module runs as plain Python.
cimport cython
from energysim.mapping.search_tree cimport Tree
from energysim.mapping.search_windows cimport integer

cdef double INFINITE

cdef class Moves(Tree):
    cdef integer places
    cdef integer[:, ::1] factor, open_place
    cdef integer[:, :, ::1] quotient
    cdef integer[::1] open_places
    cdef double[::1] cost_at, cost_now
    @cython.locals(d=integer, i=integer, j=integer, place=integer, c=integer)
    cdef void begin_moves(self)
    @cython.locals(c=integer, d=integer, whole=integer, flat_tile=integer, flat_space=integer)
    cdef void take_best(self)
    @cython.locals(first=integer, last=integer, legal=integer, c=integer, tile=integer, space=integer)
    cdef integer shift(self, integer d, integer i, integer j, integer part)
    @cython.locals(first=integer, last=integer, c=integer)
    cdef integer legal(self, integer i, integer j)
    @cython.locals(cost=double, level=integer)
    cdef double priced(self, integer first, double limit)
    @cython.locals(level=integer)
    cdef void accept(self, integer first)
