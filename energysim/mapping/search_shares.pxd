# C types for search_shares.py; without a compiler the module runs as plain Python.
cimport cython
from energysim.mapping.search_state cimport State
from energysim.mapping.search_windows cimport Windows, integer

cdef double INFINITE

cdef class Shares(State):
    cdef integer late_array
    @cython.locals(g=integer, w=integer, a=integer, b=integer, na=integer, nb=integer, ta=integer, sa=integer, tb=integer, sb=integer, wa=integer, wb=integer)
    cdef void fill_windows(self)
    @cython.locals(a=integer, u=integer, b=integer, v=integer, na=integer, nb=integer, p=integer, r=integer, m=integer, n=integer, place=integer, left_a=integer, left_b=integer, alone=integer)
    cdef void fill_setting(self, integer w, integer ta, integer sa, integer tb, integer sb, integer loose)
    @cython.locals(whole=double, least=double, end=double, slid=double, share=double, fresh=double, reach=integer, n=integer, b=integer, most=integer, k=integer, home=integer, low=integer, high=integer, j=integer, kept=integer)
    cdef void fill_fresh(self, integer place, integer step, integer left, integer other, integer more, integer loose)
    @cython.locals(whole=double, slid=double, most=integer, k=integer, j=integer, kept=integer, share=double, fresh=double)
    cdef void fill_partial(self, integer place, integer step, integer left, integer other, integer more)
    @cython.locals(share=double, most=integer, kept=integer, reach=integer, shift=integer, n=integer)
    cdef double most_kept(self, integer step, double whole)
