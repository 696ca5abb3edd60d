# C types for search_climb.py; without a compiler the module runs as plain Python.
cimport cython
from energysim.mapping.search_moves cimport Moves
from energysim.mapping.search_windows cimport integer

cdef double INFINITE, HOT, COLD, FRACTION
cdef integer STEPS

cdef class Climb(Moves):
    cdef integer seed
    @cython.locals(before=integer)
    cdef void climb(self)
    cdef integer random(self, integer number) noexcept
    cdef double chance(self) noexcept
    @cython.locals(now=double, warmth=double, cooling=double, limit=double, draw=double, found=double, kind=integer)
    cdef void anneal(self, integer steps)
    @cython.locals(found=double, c=integer, i=integer, j=integer, d=integer, e=integer)
    cdef double try_order(self, double limit)
    @cython.locals(i=integer)
    cdef integer drawn(self, integer d)
    @cython.locals(part=integer)
    cdef integer part_of(self, integer d, integer i)
    @cython.locals(found=double, d=integer, i=integer, j=integer, part=integer, first=integer, last=integer)
    cdef double try_move(self, double limit)
    @cython.locals(found=double, d=integer, e=integer, i=integer, j=integer, part=integer, other=integer, first=integer, one=integer, two=integer)
    cdef double try_pair(self, double limit)
