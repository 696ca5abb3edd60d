# C types for search_climb.py; without a compiler the module runs as plain Python.
cimport cython
from energysim.mapping.search_tree cimport Tree
from energysim.mapping.search_windows cimport integer

cdef double INFINITE

cdef class Climb(Tree):
    cdef integer places
    cdef integer[:, ::1] factor
    @cython.locals(better=integer)
    cdef void climb(self)
    @cython.locals(c=integer, d=integer, whole=integer)
    cdef void read_factors(self)
    @cython.locals(taken=integer, d=integer, i=integer, part=integer, j=integer)
    cdef integer single_moves(self)
    @cython.locals(taken=integer, d=integer, e=integer, i=integer, j=integer, p=integer, q=integer)
    cdef integer double_moves(self)
    @cython.locals(p=integer)
    cdef integer first_prime(self, integer number)
    cdef void move(self, integer d, integer i, integer j, integer part)
    @cython.locals(before=double, cost=double, level=integer)
    cdef integer tried(self)
    @cython.locals(d=integer, size=integer, c=integer, i=integer, j=integer, tile=integer, space=integer)
    cdef integer laid_out(self)
    @cython.locals(i=integer)
    cdef integer number_of(self, integer d, integer size)
    @cython.locals(fixed=double, least=double, now=double, mask=integer, d=integer, best=integer, which=integer)
    cdef double priced(self, integer level, double cost)
