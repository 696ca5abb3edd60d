# C types for search_heaps.py; without a compiler the module runs as plain Python.
cimport cython
from energysim.mapping.search_classes cimport Classes
from energysim.mapping.search_windows cimport integer

cdef class Heaps(Classes):
    cdef double[::1] heap_key, heap_cost
    cdef integer[::1] heap_row, heap_class
    cdef integer heap_top
    cdef void clear_heaps(self)
    @cython.locals(n=integer)
    cdef void push(self, double key, double cost, integer row, integer which)
    cdef integer before(self, integer a, integer b)
    @cython.locals(key=double, cost=double, row=integer, which=integer)
    cdef void swap(self, integer a, integer b) noexcept
    @cython.locals(child=integer)
    cdef void sink(self, integer base, integer number, integer i) noexcept
    @cython.locals(i=integer)
    cdef void make_heap(self, integer base, integer number) noexcept
    cdef integer pop(self, integer base, integer number)
