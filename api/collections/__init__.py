"""REST routes for collections."""
