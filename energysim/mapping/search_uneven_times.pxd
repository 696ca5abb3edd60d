# C types for search_uneven_times.py; without a compiler the module runs as plain Python.
cimport cython
from energysim.mapping.search_uneven_places cimport UnevenPlaces
from energysim.mapping.search_windows cimport integer

cdef double INFINITE

cdef class UnevenTimes(UnevenPlaces):
    cdef double[:, ::1] port_read, port_write, reading, writing
    cdef double[:, :, ::1] port_final
    cdef unsigned char[::1] port_shared
    cdef integer[::1] memory_level, mark_source
    cdef double[::1] least_words, least_back
    @cython.locals(m=integer, last=integer, k=integer, t=integer)
    cdef void begin_times(self)
    @cython.locals(words=double, copies=double, parent=integer, g=integer, back=double)
    cdef void find_least(self, integer k, integer t)
    @cython.locals(t=integer, source=integer, inner=integer, each=double)
    cdef void add_least(self, integer depth, integer k, double sign)
    @cython.locals(k=integer, source=integer, inner=integer, parent=integer, done=double, back=double)
    cdef void ports(self, integer t, integer child, integer depth, double shared, double alone)
    @cython.locals(m=integer)
    cdef void open_times(self, integer level) noexcept
    @cython.locals(t=integer)
    cdef void feed(self, integer k, integer level)
    @cython.locals(steps=double, g=integer)
    cdef double least_steps(self, integer level)
    @cython.locals(most=double, m=integer, instances=double, g=integer, reading=double, writing=double, busy=double)
    cdef double least_cycles(self, integer level)
    @cython.locals(cycles=double, more=double, late=double)
    cdef double late_pj(self, integer level)
    @cython.locals(busy=double, cycles=double)
    cdef double priced_cycles(self, integer level)
    @cython.locals(cycles=double, whole=integer, total=double)
    cdef double timed_pj(self, integer level, double pj)
