# C types for search_tree.py; without a compiler the module runs as plain Python.
from energysim.mapping.search_costs cimport Costs
from energysim.mapping.search_windows cimport integer

cdef double INFINITE, EDGE
cdef integer PLAIN, WATCHED

cdef class Tree(Costs):
    cdef double[::1] heap_key, heap_cost
    cdef integer[::1] heap_row, heap_class, class_start, class_end, prefix, ahead
    cdef integer[:, ::1] classes, class_seen, class_length
    cdef integer heap_top, class_total, most_nodes, width
    cdef public integer stopped
    cdef public double root_pj, until
    cpdef double start(self)
    cpdef void limit(self, double pj)
    cpdef void dive(self, integer width)
    cpdef void prove(self, integer most_nodes, double until)
    cdef integer late(self)
    cdef void expand(self, integer level, double cost, integer alike)
    cdef void leave_open(self, double key)
    cdef void collect_rows(self, integer level, double cost, integer alike)
    cdef void collect_whole(self, integer level, integer whole, double cost, integer alike)
    cdef void orders(self, integer level, double cost, integer row)
    cdef integer take_order(self, integer level, integer which)
    cdef void descend(self, integer level, integer row, integer which, double now, integer alike)
    cdef void keep(self)
    cdef void push(self, double key, double cost, integer row, integer which)
    cdef integer before(self, integer a, integer b)
    cdef void swap(self, integer a, integer b)
    cdef void sink(self, integer base, integer number, integer i)
    cdef void make_heap(self, integer base, integer number)
    cdef integer pop(self, integer base, integer number)
    cdef void make_classes(self, integer mask)
    cdef integer closes(self, integer t, integer d)
    cdef void extend_order(self, integer mask, integer left, integer length)
    cdef void add_class(self, integer mask, integer left, integer length)
    cdef void copy_class(self, integer source, integer target)
    cdef integer as_good(self, integer one, integer other)
